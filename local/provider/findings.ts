const sizes = ['1-10', '11-50', '51-200', '201-1000', '1001-5000', '5001+'];
const people: [name: string, title: string][] = [
  ['Sample Person One', 'Head of Sales'],
  ['Sample Person Two', 'Chief Technology Officer'],
  ['Sample Person Three', 'Head of Procurement'],
];

/** Made-up research of a company, the same at every run. @param luck 0 to 65,535, from its domain */
export function findings(company: { name: string; domain: string | null }, luck: number) {
  const host = company.domain?.split('/')[0];
  return {
    research: {
      summary: `${company.name}: sample research, made up for the demo.`,
      findings: { employees: sizes[luck % sizes.length], isSample: true, buysOnline: luck % 2 === 0 },
      sources: host ? [`https://${host}/`] : [],
    },
    prospects: people.slice(0, luck % 4).map(([fullName, title], index) => ({
      fullName,
      title,
      ...(host ? { email: `sample${index + 1}@${host}` } : {}),
    })),
  };
}

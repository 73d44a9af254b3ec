const sizes = ['1-10', '11-50', '51-200', '201-1000', '1001-5000', '5001+'];
const models = [
  'sells to businesses',
  'sells to consumers',
  'sells to businesses and consumers',
  'runs a marketplace',
];
const signals = ['is hiring in sales', 'opened a new office', 'launched a product', 'changed its leadership'];
const people = [
  ['Sample Person One', 'Head of Sales'],
  ['Sample Person Two', 'Chief Technology Officer'],
  ['Sample Person Three', 'Head of Procurement'],
] as const;

interface Company {
  name: string;
  domain: string | null;
  attributes: Record<string, unknown>;
}

const pick = (from: readonly string[], luck: number): string => from[luck % from.length] ?? '';
const word = (value: unknown): string | null => (typeof value === 'string' && value !== '' ? value : null);

/** Made-up research of a company, the same at every run. @param luck 0 to 65,535, from its domain */
export function findings({ name, domain, attributes }: Company, luck: number) {
  const host = domain?.split('/')[0] ?? null;
  const employees = pick(sizes, luck);
  const model = pick(models, luck >> 3);
  const signal = pick(signals, luck >> 5);
  const industry = word(attributes.industry);
  const country = word(attributes.country);
  const what = [industry?.toLowerCase(), country === null ? null : `from ${country}`]
    .filter(Boolean)
    .join(' ');
  return {
    research: {
      summary: `Sample data: ${name}${what ? ` (${what})` : ''} ${model}, has ${employees} employees and ${signal}.`,
      findings: { employees, model, signal, industry, country, isSample: true },
      sources: host === null ? [] : [`https://${host}/`],
    },
    prospects: people.slice(0, luck % 4).map(([fullName, title], index) => ({
      fullName,
      title,
      // Nobody's address: example domains belong to no one.
      ...(host === null ? {} : { email: `sample${index + 1}@${host}.example` }),
    })),
  };
}

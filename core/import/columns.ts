import { CsvRejected } from './rejected.ts';

/** Headers that mean the company's name, best first, as `fold` writes them. */
const nameHeaders = [
  'company name',
  'companyname',
  'company',
  'name',
  'organisation name',
  'organization name',
  'organisation',
  'organization',
  'business name',
  'business',
  'account name',
  'account',
  'legal name',
  'firmenname',
  'firma',
  'unternehmen',
  'raison sociale',
  'societe',
  'entreprise',
  'nom',
  'empresa',
  'nombre',
  'razon social',
  'azienda',
  'ragione sociale',
  'nome',
  'bedrijfsnaam',
  'bedrijf',
  'foretag',
  'foretagsnamn',
  'virksomhed',
  'nazwa',
  'yritys',
  '会社名',
  '公司',
  '公司名称',
  'компания',
];

/** Headers that mean the company's domain or website, best first. */
const domainHeaders = [
  'domain',
  'company domain',
  'domain name',
  'domainname',
  'website',
  'company website',
  'web site',
  'website url',
  'company url',
  'url',
  'homepage',
  'home page',
  'web',
  'web address',
  'webadresse',
  'webseite',
  'internet',
  'site web',
  'site',
  'sitio web',
  'pagina web',
  'sito web',
  'sito',
  'hemsida',
  'hjemmeside',
  'strona',
  'www',
  'домен',
  'сайт',
  'ウェブサイト',
  '网站',
];

const fold = (header: string): string =>
  header
    .normalize('NFKD')
    .replace(/\p{Mn}/gu, '')
    .toLowerCase()
    .replace(/[^\p{L}\p{N}]+/gu, ' ')
    .trim();

const foldedNames = nameHeaders.map(fold);
const foldedDomains = domainHeaders.map(fold);

export interface Columns {
  /** One for each cell of a row, unique: attributes are kept under them. */
  headers: string[];
  name: number | null;
  domain: number | null;
}

function bestOf(headers: readonly string[], wanted: readonly string[]): number | null {
  const ranked = headers
    .map((header, index) => ({ index, rank: wanted.indexOf(fold(header)) }))
    .filter(({ rank }) => rank >= 0)
    .sort((a, b) => a.rank - b.rank);
  return ranked[0]?.index ?? null;
}

/** How many of the two columns that matter a header line names. */
export function recognised(cells: readonly string[]): number {
  return Number(bestOf(cells, foldedNames) !== null) + Number(bestOf(cells, foldedDomains) !== null);
}

/** A name for each cell, unique: what the file itself calls a column stays, whatever others would be numbered to. */
function nameAll(cells: readonly string[]): string[] {
  const given = cells.map((cell) => cell.trim());
  const unclaimed = new Set(given);
  const used = new Set(given);
  const numbers = new Map<string, number>();
  return given.map((header, index) => {
    if (header !== '' && unclaimed.delete(header)) return header;
    const wanted = header || `column ${index + 1}`;
    let number = numbers.get(wanted) ?? 1;
    let name = wanted;
    while (used.has(name)) name = `${wanted} (${++number})`;
    numbers.set(wanted, number);
    used.add(name);
    return name;
  });
}

/**
 * Finds the company's name and domain among the headers, in any order and in several languages.
 * @throws CsvRejected when neither is there
 */
export function findColumns(cells: readonly string[], row: number): Columns {
  const headers = nameAll(cells);
  const columns = { headers, name: bestOf(cells, foldedNames), domain: bestOf(cells, foldedDomains) };
  if (columns.name === null && columns.domain === null) {
    const found = headers.slice(0, 10).join(', ').slice(0, 200);
    throw new CsvRejected(
      `no column is the company's name or domain; call one "name" or "website" (found: ${found})`,
      {
        row,
      },
    );
  }
  return columns;
}

import { excerpt } from '../contract/text.ts';
import { CsvRejected } from './rejected.ts';

/** Headers that mean the company's name, best first. */
const nameHeaders = [
  'company name',
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
  'company domain name',
  'organisation domain',
  'organization domain',
  'account domain',
  'primary domain',
  'domain name',
  'website',
  'company website',
  'organisation website',
  'organization website',
  'account website',
  'business website',
  'website url',
  'company website url',
  'website address',
  'company url',
  'url',
  'homepage',
  'home page',
  'web',
  'web address',
  'webadresse',
  'webseite',
  'firmenwebsite',
  'internetseite',
  'internetadresse',
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

/** `Company Domain`, `company_domain` and `companyDomain` are one: neither case nor accents nor what stands between. */
const fold = (header: string): string =>
  header
    .normalize('NFKD')
    .replace(/\p{Mn}/gu, '')
    .toLowerCase()
    .replace(/[^\p{L}\p{N}]+/gu, '');

const foldedNames = nameHeaders.map(fold);
const foldedDomains = domainHeaders.map(fold);

export interface Columns {
  /** One for each cell of a row, unique: attributes are kept under them. */
  headers: string[];
  name: number | null;
  /** Best first: a row's domain is in the first one that it fills. */
  domains: number[];
}

/** The columns whose headers are wanted, best first. */
function ranked(headers: readonly string[], wanted: readonly string[]): number[] {
  return headers
    .map((header, index) => ({ index, rank: wanted.indexOf(fold(header)) }))
    .filter(({ rank }) => rank >= 0)
    .sort((a, b) => a.rank - b.rank)
    .map(({ index }) => index);
}

/** How many of the two columns that matter a header line names. */
export function recognised(cells: readonly string[]): number {
  return [foldedNames, foldedDomains].filter((wanted) => ranked(cells, wanted).length > 0).length;
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

/** The headers as a message shows them. */
export function listed(headers: readonly string[]): string {
  return excerpt(headers.slice(0, 10).join(', '), 200);
}

/**
 * Finds the company's name and domain among the headers, in any order and in several languages.
 * @throws CsvRejected when neither is there
 */
export function findColumns(cells: readonly string[], row: number): Columns {
  const headers = nameAll(cells);
  const name = ranked(cells, foldedNames)[0] ?? null;
  const domains = ranked(cells, foldedDomains);
  if (name === null && domains.length === 0) {
    throw new CsvRejected(
      `no column is the company's name or domain; call one "name" or "website" (found: ${listed(headers)})`,
      { row },
    );
  }
  return { headers, name, domains };
}

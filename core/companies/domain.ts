import { createHash } from 'node:crypto';
import { domainToASCII } from 'node:url';
import { parse } from 'tldts';
import { excerpt } from '../contract/text.ts';
import { sharedKey } from './shared-hosts.ts';

export type NormalisedDomain = { ok: true; domain: string | null } | { ok: false; reason: string };

const longestInput = 2_048;
const longestDomain = 255;
const longestKeyName = 500;
const label = /^(?!-)[a-z0-9_-]{1,63}(?<!-)$/;
const blank = /[\s\u200b]/;
const dot = /[.\u3002\uff0e\uff61]/;
const privateSuffixes = new Set(['localhost', 'local', 'internal', 'lan', 'home', 'intranet', 'arpa']);

const refuse = (reason: string): NormalisedDomain => ({ ok: false, reason });

function hasControl(text: string): boolean {
  for (let index = 0; index < text.length; index += 1) {
    const unit = text.charCodeAt(index);
    if (unit < 0x20 || (unit >= 0x7f && unit <= 0x9f)) return true;
  }
  return false;
}

/**
 * Why a text cannot be stored as text (Postgres takes neither NUL nor half a surrogate pair); null when it can.
 */
export function unstorable(text: string): string | null {
  if (text.includes('\u0000')) return 'contains a NUL character';
  return text.isWellFormed() ? null : 'contains half of a surrogate pair, which is not text';
}

/** A loop, because an expression that ends in `+$` begins anew at every letter of a run in the middle. */
function withoutTail(text: string, what: RegExp): string {
  let end = text.length;
  while (end > 0 && what.test(text.charAt(end - 1))) end -= 1;
  return text.slice(0, end);
}

/** Takes `www.` away as often as it stands there, unless only a top-level domain would be left: `www.com` stays. */
function withoutWww(host: string): string {
  let rest = host;
  while (rest.startsWith('www.') && rest.indexOf('.', 4) > 0) rest = rest.slice(4);
  return rest;
}

function splitAddress(address: string): { authority: string; path: string; query: string } {
  const authority = /^[^/?#\\]*/.exec(address)?.[0] ?? '';
  const rest = address.slice(authority.length);
  const path = /^[^?#]*/.exec(rest)?.[0] ?? '';
  const query = /^\?([^#]*)/.exec(rest.slice(path.length))?.[1] ?? '';
  return { authority, path: path.replaceAll('\\', '/'), query };
}

function hostProblem(host: string, written: string): string | null {
  if (host === '') return `${written} is not a domain`;
  if (parse(host).isIp) return `${written} is an IP address, not a company's domain`;
  const labels = host.split('.');
  if (privateSuffixes.has(labels.at(-1) ?? '')) return `${written} is a private host, not a company's domain`;
  if (labels.length < 2) return `${written} is not a domain: it has no dot`;
  if (host.length > 253) return 'the host name is longer than 253 characters';
  if (!labels.every((part) => label.test(part))) return `${written} is not a domain`;
  if (!/^(?:[a-z]{2,}|xn--[a-z0-9-]+)$/.test(labels.at(-1) ?? ''))
    return `${written} has no top-level domain`;
  return null;
}

/**
 * The key under which a company is known, from what people write: a domain, a URL, `WWW.ACME.COM.`, `acme.com:8080/x`.
 * It is the host in lower case and punycode without leading `www.`; on a host that many share, the host plus the page
 * (`linkedin.com/company/acme`). A shared host alone is that company itself: facebook.com is Facebook.
 * @returns null as the domain when there is nothing, or at most 255 characters; otherwise the reason for refusing
 */
export function normaliseDomain(input: string): NormalisedDomain {
  if (input.length > longestInput) return refuse(`the domain is longer than ${longestInput} characters`);
  const broken = unstorable(input);
  if (broken !== null) return refuse(`the domain ${broken}`);
  const text = withoutTail(input.replace(/^[\s\u200b]+/, ''), blank);
  if (text === '') return { ok: true, domain: null };
  if (hasControl(text)) return refuse('the domain contains a control character');

  const scheme = /^([a-z][a-z0-9+-]*):\/\//i.exec(text)?.[1]?.toLowerCase();
  if (scheme !== undefined && scheme !== 'http' && scheme !== 'https') {
    return refuse(`${scheme}:// is not the address of a website`);
  }
  if (/^mailto:/i.test(text)) return refuse('this is an email address, not a domain');
  const address = text.replace(/^(?:https?:)?[/\\]{2,}|^https?:[/\\]?/i, '');
  const { authority, path, query } = splitAddress(address);
  const at = authority.lastIndexOf('@');
  if (at >= 0 && scheme === undefined && !authority.slice(0, at).includes(':')) {
    return refuse('this is an email address, not a domain');
  }
  const hostAndPort = authority.slice(at + 1);
  if (hostAndPort.startsWith('[')) return refuse("this is an IP address, not a company's domain");
  const colon = hostAndPort.indexOf(':');
  const written = colon < 0 ? hostAndPort : hostAndPort.slice(0, colon);
  const port = colon < 0 ? '' : hostAndPort.slice(colon + 1);
  if (!/^\d{0,5}$/.test(port)) return refuse('the port is not a number');

  const ascii = domainToASCII(withoutTail(written, dot));
  const host = withoutWww(withoutTail(ascii.toLowerCase(), dot));
  const problem = hostProblem(host, written === '' ? 'this' : excerpt(written));
  if (problem !== null) return refuse(problem);

  const domain = sharedKey(host, path, query) ?? host;
  if (/%(?:[01][0-9A-F]|7F)/.test(domain)) return refuse('the path contains a control character');
  if (domain.length > longestDomain)
    return refuse(`host and path are longer than ${longestDomain} characters`);
  return { ok: true, domain };
}

/**
 * What makes a company the same company within a campaign: its normalised domain, else its name, whatever the case,
 * width or spacing it is written in. A name that folds to more than 500 characters is told apart by its hash.
 */
export function naturalKey(company: { name: string; domain: string | null }): string {
  if (company.domain !== null) return company.domain;
  // Upper case first, so that ß and SS, ſ and s fold to the same.
  const upper = company.name.normalize('NFKC').toUpperCase();
  const folded = upper.toLowerCase().normalize('NFKC').replace(/\s+/g, ' ').trim();
  if (folded.length <= longestKeyName) return `name:${folded}`;
  const hash = createHash('sha256').update(folded).digest('hex').slice(0, 32);
  // Array.from, so that no pair of surrogates is cut in two.
  return `name:${Array.from(folded.slice(0, longestKeyName - 40))
    .slice(0, -1)
    .join('')}#${hash}`;
}

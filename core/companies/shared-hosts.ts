/**
 * Hosts that many companies share: there the page is the company, so the key is host plus path.
 * For each host, how many path segments name a page, by the first segment; `*` is any other first segment.
 */
const sharedHosts: Record<string, Record<string, number>> = {
  'facebook.com': { '*': 1, pages: 3, people: 3, groups: 2, p: 2, pg: 2 },
  'linkedin.com': { '*': 1, company: 2, school: 2, showcase: 2, in: 2, pub: 2, groups: 2 },
  'instagram.com': { '*': 1 },
  'threads.net': { '*': 1 },
  'pinterest.com': { '*': 1, pin: 2 },
  'x.com': { '*': 1 },
  'twitter.com': { '*': 1 },
  'tiktok.com': { '*': 1 },
  'youtube.com': { '*': 1, channel: 2, c: 2, user: 2 },
  'vimeo.com': { '*': 1 },
  'github.com': { '*': 1, orgs: 2 },
  'gitlab.com': { '*': 1 },
  'medium.com': { '*': 1 },
  'linktr.ee': { '*': 1 },
  'g.page': { '*': 1, r: 2 },
  'bit.ly': { '*': 1, m: 2 },
  'about.me': { '*': 1 },
  'sites.google.com': { '*': 1, view: 2, site: 2, a: 3, d: 2 },
  'etsy.com': { '*': 1, shop: 2 },
  'yelp.com': { '*': 1, biz: 2 },
  'crunchbase.com': { '*': 1, organization: 2 },
  'xing.com': { '*': 1, pages: 2, companies: 2 },
  'angel.co': { '*': 1, company: 2 },
  'wellfound.com': { '*': 1, company: 2 },
  'vk.com': { '*': 1 },
  't.me': { '*': 1 },
  'wa.me': { '*': 1 },
  'notion.site': { '*': 1 },
  'wixsite.com': { '*': 1 },
};

/** Every host below these is shared as well: `ada.wixsite.com/bakery`. */
const sharedParents = new Set(['wixsite.com', 'notion.site']);

/** Sections whose ids tell `A` from `a`; everywhere else a page's name is the same in any case. */
const caseSensitive = new Set(['channel', 'd', 'r']);
/** Hosts whose every page is such an id. */
const caseSensitiveHosts = new Set(['bit.ly']);

/** Other names of a shared host. */
const sameSite: Record<string, string> = {
  'fb.com': 'facebook.com',
  'business.facebook.com': 'facebook.com',
  'threads.com': 'threads.net',
};
/** Those that were companies before they were known as such: alone they stay one, so that what is stored is found. */
const staysAlone = new Set(['business.facebook.com', 'threads.com']);

/** Of all that Google shows only places are pages of others. */
const googleHost = /^(?:maps\.)?google\.(?:com|(?:com?\.)?[a-z]{2})$/;

/** `m.facebook.com`, `de-de.facebook.com` and `uk.linkedin.com` are the same site as without the label. */
const variantLabel = /^(?:m|mobile|web|mbasic|[a-z]{2}|[a-z]{2}-[a-z]{2})$/;

/** The shared host that `host` belongs to, as the key writes it; null when the host is a company's own. */
function sharedHost(host: string): string | null {
  const canonical = sameSite[host] ?? host;
  if (Object.hasOwn(sharedHosts, canonical)) return canonical;
  const dot = canonical.indexOf('.');
  const parent = canonical.slice(dot + 1);
  if (sharedParents.has(parent)) return canonical;
  const isVariant = Object.hasOwn(sharedHosts, parent) && variantLabel.test(canonical.slice(0, dot));
  return isVariant ? parent : null;
}

function decode(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}

const encode = (segment: string): string => encodeURIComponent(segment).replaceAll('%40', '@');

function segmentsOf(path: string): string[] {
  return path
    .split('/')
    .map((segment) => decode(segment).trim())
    .filter((segment) => segment !== '' && segment !== '.' && segment !== '..');
}

/**
 * What a company is known under that has its page on a host which many share: the host and the page. A shared host alone
 * is that company itself.
 * @param host in lower case and punycode, without `www.`
 * @returns null when the host is a company's own
 */
export function sharedKey(host: string, path: string, query: string): string | null {
  if (googleHost.test(host)) return placeKey(path);
  const shared = sharedHost(host);
  if (shared === null) return null;
  const page = pagePath(shared, path, query);
  return page === '' && staysAlone.has(host) ? null : shared + page;
}

/** A place of Google Maps by its name: what follows in the path is what the map showed. */
function placeKey(path: string): string | null {
  const [maps, place, name] = segmentsOf(path);
  if (maps !== 'maps' || place !== 'place' || name === undefined) return null;
  const spaced = name.replaceAll('+', ' ').trim();
  if (/^(?:@|\.{0,2}$)/.test(spaced)) return null;
  return `google.com/maps/place/${encode(spaced.toLowerCase().normalize('NFC'))}`;
}

/**
 * The part of a path that names a company's page on a shared host, with its slash: `/company/acme`.
 * @returns '' when the path names no page, and then the host itself is the company
 */
function pagePath(host: string, path: string, query: string): string {
  const parent = host.slice(host.indexOf('.') + 1);
  const depths = sharedHosts[host] ?? sharedHosts[parent] ?? { '*': 1 };
  const segments = segmentsOf(path);
  const section = segments[0]?.toLowerCase();
  if (section === undefined) return '';
  const profileId = section === 'profile.php' ? new URLSearchParams(query).get('id') : null;
  if (profileId !== null && /^\d{1,30}$/.test(profileId)) return `/${profileId}`;

  const isSection = section !== '*' && Object.hasOwn(depths, section);
  const depth = (isSection ? depths[section] : depths['*']) ?? 1;
  if (isSection && segments.length < 2) return '';
  const kept = segments.slice(0, depth).map((segment, index) => {
    const asIs = caseSensitiveHosts.has(host) || (index > 0 && caseSensitive.has(section));
    return encode((asIs ? segment : segment.toLowerCase()).normalize('NFC'));
  });
  return `/${kept.join('/')}`;
}

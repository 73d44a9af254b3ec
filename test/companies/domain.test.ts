import fc from 'fast-check';
import { naturalKey, normaliseDomain } from '../../core/companies/domain.ts';

const domainOf = (input: string): string | null => {
  const result = normaliseDomain(input);
  if (!result.ok) throw new Error(`${input}: ${result.reason}`);
  return result.domain;
};
const reasonFor = (input: string): string => {
  const result = normaliseDomain(input);
  if (result.ok) throw new Error(`${input} gave ${result.domain}`);
  return result.reason;
};

test.each([
  ['acme.com', 'acme.com'],
  ['  WWW.Acme.COM  ', 'acme.com'],
  ['https://www.acme.com/about?x=1#team', 'acme.com'],
  ['http://user:secret@acme.com:8080/', 'acme.com'],
  ['user:secret@acme.com', 'acme.com'],
  ['//acme.com/path', 'acme.com'],
  ['https:/acme.com', 'acme.com'],
  ['acme.com.', 'acme.com'],
  ['acme.com:443', 'acme.com'],
  ['acme.com?utm=1', 'acme.com'],
  ['acme.com\\path', 'acme.com'],
  ['shop.acme.co.uk', 'shop.acme.co.uk'],
  ['www.www.acme.com', 'acme.com'],
  ['www.com', 'www.com'],
  ['www.gov.uk', 'gov.uk'],
  ['mil.lv', 'mil.lv'],
  ['MÜNCHEN.de', 'xn--mnchen-3ya.de'],
  ['xn--mnchen-3ya.de', 'xn--mnchen-3ya.de'],
  ['例え。jp', 'xn--r8jz45g.jp'],
  ['\ufeffacme.com\u200b', 'acme.com'],
])('%j is the company %s', (written, domain) => {
  expect(domainOf(written)).toBe(domain);
});

test.each([
  ['https://www.facebook.com/Acme/', 'facebook.com/acme'],
  ['m.facebook.com/acme?ref=1', 'facebook.com/acme'],
  ['https://de-de.facebook.com/acme', 'facebook.com/acme'],
  ['fb.com/acme', 'facebook.com/acme'],
  ['facebook.com/profile.php?id=1000123', 'facebook.com/1000123'],
  ['https://uk.linkedin.com/company/Acme/about/', 'linkedin.com/company/acme'],
  ['sites.google.com/view/acme/home', 'sites.google.com/view/acme'],
  ['youtube.com/channel/UCabC', 'youtube.com/channel/UCabC'],
  ['https://x.com/Acme/status/1', 'x.com/acme'],
  ['ada.wixsite.com/Bakery/menu', 'ada.wixsite.com/bakery'],
  ['instagram.com/caf%C3%A9', 'instagram.com/caf%C3%A9'],
  ['https://business.facebook.com/Acme/', 'facebook.com/acme'],
  ['https://www.threads.com/@Acme', 'threads.net/@acme'],
  ['https://de.pinterest.com/Acme/boards', 'pinterest.com/acme'],
  ['https://pinterest.com/pin/123', 'pinterest.com/pin/123'],
  ['https://g.page/Acme?share', 'g.page/acme'],
  ['https://g.page/r/CabC/review', 'g.page/r/CabC'],
  ['https://bit.ly/3AbC', 'bit.ly/3AbC'],
  [
    'https://www.google.de/maps/place/Acme+Caf%C3%A9/@52.5,13.4,17z/data=!3m1',
    'google.com/maps/place/acme%20caf%C3%A9',
  ],
  ['https://www.google.com/maps/search/acme', 'google.com'],
  ['https://google.com/maps/place/@52.5,13.4,17z', 'google.com'],
  ['https://google.com/maps/place/+../+', 'google.com'],
  ['https://support.google.com/maps/place/acme', 'support.google.com'],
  ['threads.com', 'threads.com'],
  ['business.facebook.com', 'business.facebook.com'],
  ['facebook.com', 'facebook.com'],
  ['https://www.linkedin.com/company/', 'linkedin.com'],
])('on a host that many share, %j is the page %s', (written, domain) => {
  expect(domainOf(written)).toBe(domain);
});

test('blanks around a domain and dots behind it, however many, change nothing', () => {
  const blanks = fc.string({
    unit: fc.constantFrom(' ', '\t', '\u00a0', '\u200b', '\ufeff'),
    maxLength: 900,
  });
  const dots = fc.string({ unit: fc.constantFrom('.', '。', '．', '｡'), maxLength: 200 });
  fc.assert(
    fc.property(blanks, dots, blanks, (before, end, after) => {
      expect(domainOf(`${before}www.acme.com${end}${after}`)).toBe('acme.com');
      expect(domainOf(`${before}https://acme.com${end}:443/${after}`)).toBe('acme.com');
    }),
  );
});

test.each(['.', '。', ' ', '\u200b', ':'])('a long run of %j within a domain is refused', (letter) => {
  expect(reasonFor(`a${letter.repeat(2_000)}b`)).toMatch(/longer than 253|not a domain|no dot|port/);
});

test('nothing written is no domain', () => {
  expect(domainOf('')).toBeNull();
  expect(domainOf(' \t\u00a0\n')).toBeNull();
});

test.each([
  ['ada@acme.com', /email/],
  ['mailto:ada@acme.com', /email/],
  ['127.0.0.1', /IP address/],
  ['0x7f.1', /IP address/],
  ['http://[::1]:80/', /IP address/],
  ['localhost', /private host/],
  ['http://printer.local/', /private host/],
  ['acme', /no dot/],
  ['ftp://acme.com', /not the address of a website/],
  ['acme.com:web', /port/],
  ['two words.com', /not a domain/],
  ['a.com, b.com', /not a domain/],
  ['-acme.com', /not a domain/],
  ['acme..com', /not a domain/],
  ['acme.123x', /top-level/],
  [`${'a'.repeat(64)}.com`, /not a domain/],
  [`facebook.com/${'a'.repeat(300)}`, /longer than 255/],
  [`${'a'.repeat(3000)}.com`, /longer than 2048/],
  ['ac\u0000me.com', /NUL/],
  ['ac\ud800me.com', /surrogate/],
  ['facebook.com/a%00b', /control/],
])('%#. what cannot be a domain is refused with a reason', (written, reason) => {
  expect(reasonFor(written)).toMatch(reason);
});

const hostLike = fc.tuple(
  fc.constantFrom('', 'http://', 'HTTPS://', '//', 'www.', 'https://WWW.', 'u:p@', 'm.'),
  fc.constantFrom(
    'acme',
    'facebook',
    'linkedin',
    'ünï',
    'www',
    'sites.google',
    'a.wixsite',
    'co',
    'youtube',
    'google',
  ),
  fc.constantFrom('.com', '.com.', '.co.uk', '.de:80', '.COM'),
  fc.oneof(
    fc.constantFrom('', '/', '/company/', '/channel/aB', '/profile.php?id=1', '/maps/place/A+B'),
    fc.string({ unit: 'binary', maxLength: 12 }).map((name) => `/maps/place/${name}`),
    fc.string({ unit: 'binary', maxLength: 12 }).map((path) => `/${path}`),
    fc.webPath(),
  ),
);

test('whatever is written, it gets a domain or a reason, and a domain is its own normal form', () => {
  const written = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 60 }),
    fc.webUrl(),
    hostLike.map((parts) => parts.join('')),
  );
  fc.assert(
    fc.property(written, (input) => {
      const result = normaliseDomain(input);
      if (!result.ok) return result.reason.length > 0;
      if (result.domain === null) return true;
      expect(result.domain.length).toBeLessThanOrEqual(255);
      expect(normaliseDomain(result.domain)).toEqual(result);
      return true;
    }),
    { numRuns: 3_000 },
  );
});

test('case, spacing and width of a name do not make another company', () => {
  expect(naturalKey({ name: ' Straße  AG ', domain: null })).toBe(
    naturalKey({ name: 'STRASSE ag', domain: null }),
  );
  expect(naturalKey({ name: 'ＡＣＭＥ', domain: null })).toBe('name:acme');
  expect(naturalKey({ name: 'Acme', domain: 'acme.com' })).toBe('acme.com');
});

test('the key of any name fits its column and folds to itself', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme', minLength: 1, maxLength: 500 }), (name) => {
      const key = naturalKey({ name, domain: null });
      expect(key.length).toBeLessThanOrEqual(600);
      expect(key.isWellFormed()).toBe(true);
      expect(naturalKey({ name: name.toUpperCase(), domain: null })).toBe(key);
    }),
  );
});

test('two long names that differ at the end are two companies', () => {
  const long = 'ﷺ'.repeat(400);
  expect(naturalKey({ name: `${long}a`, domain: null })).not.toBe(
    naturalKey({ name: `${long}b`, domain: null }),
  );
});

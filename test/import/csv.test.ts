import fc from 'fast-check';
import iconv from 'iconv-lite';
import { type CsvLine, readCompanies } from '../../core/import/csv.ts';

async function linesOf(content: string | Uint8Array, { pieceBytes = 7 } = {}): Promise<CsvLine[]> {
  const bytes = Buffer.from(content);
  const open = function* () {
    for (let at = 0; at < bytes.length; at += pieceBytes) yield bytes.subarray(at, at + pieceBytes);
  };
  const lines: CsvLine[] = [];
  for await (const line of readCompanies(open)) lines.push(line);
  return lines;
}
const acme = { status: 'company', row: 2, name: 'Acmé', domain: 'acme.com', attributes: {} };

test('names and websites are found in any column order, and the other columns become attributes', async () => {
  expect(await linesOf('Land,Website,Firma,\nDE,https://www.Acme.com/x,Acmé,first\n')).toEqual([
    { ...acme, attributes: { Land: 'DE', 'column 4': 'first' } },
  ]);
});

test('a domain column goes before a website column', async () => {
  expect(await linesOf('website,domain,name\nhttps://b.com/,acme.com,Acmé')).toEqual([
    { ...acme, attributes: { website: 'https://b.com/' } },
  ]);
});

test.each([
  'Company name,Company Domain Name',
  'companyName,companyDomain',
  'COMPANY_NAME,COMPANY_DOMAIN',
  'name,websiteUrl',
  'Organization - Name,Organization - Website',
  'Account Name,Website (URL)',
])('name and domain are found in %j', async (header) => {
  expect(await linesOf(`${header}\nAcmé,acme.com`)).toEqual([acme]);
});

test('of several columns with a domain, each row takes the best that it fills', async () => {
  expect(
    await linesOf('Website,Domain,Name,URL\nb.com,,Acmé,c.com\n,, B,c.com\n, a@b.com,C,c.com'),
  ).toMatchObject([
    { name: 'Acmé', domain: 'b.com', attributes: { URL: 'c.com' } },
    { name: 'B', domain: 'c.com', attributes: {} },
    { status: 'rejected', row: 4, column: 'Domain' },
  ]);
});

test.each([
  ['a comma', 'name,url\nAcmé,acme.com'],
  ['a semicolon', 'Company;Web\r\nAcmé;acme.com\r\n'],
  ['a tab', 'organisation\tdomain\rAcmé\tacme.com\r'],
  ['a bar', '"name"|"domain"\n"Acmé"|"acme.com"'],
])('cells are separated by %s', async (_, text) => {
  expect(await linesOf(text)).toEqual([acme]);
});

test.each([
  ['a delimiter', '"Company, Inc";Website\nA;acme.com', 'Company, Inc'],
  ['a line break', '"Company,\r\nInc";Website\nA;acme.com', 'Company,\r\nInc'],
  ['a quotation mark', '"Company ""A, B""";Website\nA;acme.com', 'Company "A, B"'],
])('a header in quotes may hold %s', async (_, text, header) => {
  expect(await linesOf(text)).toMatchObject([{ domain: 'acme.com', attributes: { [header]: 'A' } }]);
});

test('rows without a cell, and a quotation mark within a name, tell no delimiter', async () => {
  expect(await linesOf('\n;;;\nSize 5";Firma;Web\n7;Acmé;acme.com')).toMatchObject([
    { name: 'Acmé', domain: 'acme.com', attributes: { 'Size 5"': '7' } },
  ]);
});

test.each([
  ['name,note,note,note (2)', { note: 'b', 'note (3)': 'c', 'note (2)': 'd' }],
  ['name,note (2),note,note', { 'note (2)': 'b', note: 'c', 'note (3)': 'd' }],
  ['name,,,column 2', { 'column 2 (2)': 'b', 'column 3': 'c', 'column 2': 'd' }],
])('columns of %s lose nothing to one another', async (header, attributes) => {
  expect(await linesOf(`${header}\na,b,c,d`)).toMatchObject([{ name: 'a', attributes }]);
});

test("Excel's first line tells the delimiter, and lines are still counted from the top", async () => {
  expect(await linesOf('sep=;\r\nname;url\r\nAcmé;acme.com')).toEqual([{ ...acme, row: 3 }]);
});

test.each([
  ['UTF-8 with a byte order mark', iconv.encode('name,url\nAcmé,acme.com', 'utf8', { addBOM: true })],
  ['UTF-16 LE', iconv.encode('name,url\nAcmé,acme.com', 'utf16le', { addBOM: true })],
  ['UTF-16 BE', iconv.encode('name,url\nAcmé,acme.com', 'utf16be', { addBOM: true })],
  ['UTF-16 LE without a mark', iconv.encode('name,url\nAcmé,acme.com', 'utf16le')],
  ['UTF-16 BE without a mark', iconv.encode('name,url\nAcmé,acme.com', 'utf16be')],
  ['Latin-1', iconv.encode('name,url\nAcmé,acme.com', 'latin1')],
])('%s is read, however the bytes are cut', async (_, bytes) => {
  for (const pieceBytes of [1, 3, 1000]) expect(await linesOf(bytes, { pieceBytes })).toEqual([acme]);
});

test('Windows-1252 is read when bytes late in the file are not UTF-8', async () => {
  const padding = 'Pad,\n'.repeat(3_000);
  const lines = await linesOf(iconv.encode(`name,url\n${padding}“Ünï” – €,acme.com`, 'win1252'), {
    pieceBytes: 512,
  });
  expect(lines.at(-1)).toMatchObject({ name: '“Ünï” – €', domain: 'acme.com', row: 3_002 });
});

test('a file marked as UTF-8 is read as such: a row with other bytes is told, the rest goes on', async () => {
  const text = '\ufeffname,url\nMüller,m.com\nCaf%E9,cafe.com\nZoë,z.com\nA,%E2%82';
  const bytes = text.split(/%(..)/).map((part, index) => Buffer.from(part, index % 2 === 0 ? 'utf8' : 'hex'));
  for (const pieceBytes of [1, 3, 1000]) {
    expect(await linesOf(Buffer.concat(bytes), { pieceBytes })).toMatchObject([
      { row: 2, name: 'Müller' },
      { row: 3, status: 'rejected', column: 'name', reason: expect.stringMatching(/not UTF-8/) },
      { row: 4, name: 'Zoë' },
      { row: 5, status: 'rejected', column: 'url', reason: expect.stringMatching(/not UTF-8/) },
    ]);
  }
});

test.each([
  ['a byte of Latin-1', 'Café,cafe.com\n', 'e9'],
  ['a letter that the end of the file cuts', 'C,caf', 'c3'],
])('UTF-8 with %s stays UTF-8, and only that row is told', async (_, row, hex) => {
  const rows = Array.from({ length: 500 }, (_, n) => `Müller ${n},müller${n}.com\n`).join('');
  const [before = '', after = ''] = row.split('é');
  const bytes = [Buffer.from(`name,url\n${rows}${before}`), Buffer.from(hex, 'hex'), Buffer.from(after)];
  const lines = await linesOf(Buffer.concat(bytes), { pieceBytes: 1000 });
  expect(lines[0]).toMatchObject({ name: 'Müller 0', domain: 'xn--mller0-3ya.com' });
  expect(lines.filter(({ status }) => status !== 'company')).toEqual([
    { status: 'rejected', row: 502, column: expect.anything(), reason: expect.stringMatching(/not UTF-8/) },
  ]);
});

test('a broken character that was written as one is taken as it is', async () => {
  expect(await linesOf('\ufeffname,url\nCaf\ufffd,cafe.com')).toMatchObject([{ name: 'Caf\ufffd' }]);
});

test('rows are counted as lines of the file, through quoted line breaks and blank lines', async () => {
  const lines = await linesOf('name,url\r\n"A\r\nInc",a.com\r\n\r\nB,b.com\r\n"C\n\nD",c.com\r\nE,e.com\r\n');
  expect(lines.map((line) => [line.row, line.status === 'company' && line.name])).toEqual([
    [2, 'A Inc'],
    [5, 'B'],
    [6, 'C D'],
    [9, 'E'],
  ]);
});

test.each([
  ['in a name', '"Acme;acme.example\nBeta;beta.example\n"Delta";delta.example', 'Firma'],
  ['in a website', 'Acme;"acme.example\nBeta;beta.example\nDelta;"delta.example"', 'Web'],
  ['behind a quoted cell', '"A\r\nInc";"a.example\r\nBeta;"beta.example', 'Web'],
])(
  'a stray quotation mark %s is told with the lines that it swallows, and the rest goes on',
  async (_, rows, column) => {
    const lines = await linesOf(`Firma;Web\n${rows}\nEps;eps.example`);
    expect(lines).toEqual([
      {
        status: 'rejected',
        row: 2,
        column,
        reason: expect.stringMatching(/^lines 2 to 4 .* quotation mark/),
      },
      { ...acme, row: 5, name: 'Eps', domain: 'eps.example' },
    ]);
  },
);

test.each([
  ['"Best" of\nBerlin', '"""Best"" of\nBerlin"'],
  ['"Best\nof" Berlin', '"""Best\nof"" Berlin"'],
  ['"Best\r\nof Berlin"', '"""Best\r\nof Berlin"""'],
  ['"Best, of" Berlin', '"Best, of" Berlin'],
])('a cell that holds the quotation %j is taken as it is', async (note, written) => {
  expect(await linesOf(`name;url;note\nAcmé;acme.com;${written}\nB;b.com;`)).toMatchObject([
    { ...acme, attributes: { note } },
    { name: 'B' },
  ]);
});

test('a double is told with the row that has the same company', async () => {
  const lines = await linesOf(
    'name,url\nAcme,acme.com\nAcme Ltd,https://WWW.ACME.com./about\nNo Web,\n NO  web ,\n',
  );
  expect(lines.filter((line) => line.status === 'double')).toEqual([
    { status: 'double', row: 3, of: 2, company: 'acme.com' },
    { status: 'double', row: 5, of: 4, company: 'NO web' },
  ]);
});

test.each([
  ['Acme,ada@acme.com', 'url', /email/],
  ['Acme,10.0.0.1', 'url', /IP address/],
  [`${'n'.repeat(501)},acme.com`, 'name', /longer than 500/],
  ['Ac\u0000me,acme.com', 'name', /NUL/],
  ['"Acme, Inc",acme.com,x', null, /3 cells where the header has 2/],
  [',', undefined, /./],
])(
  'a row that cannot be taken is told with row, column and reason, and the rest goes on (%#)',
  async (row, column, reason) => {
    const lines = await linesOf(`name,url\n${row}\nB,b.com`);
    expect(lines.at(-1)).toMatchObject({ status: 'company', row: 3, name: 'B' });
    if (column === undefined) expect(lines).toHaveLength(1);
    else
      expect(lines[0]).toEqual({ status: 'rejected', row: 2, column, reason: expect.stringMatching(reason) });
  },
);

test('a row with neither name nor domain is rejected when it holds anything else', async () => {
  expect(await linesOf('name,url,city\n,,Paris')).toMatchObject([
    { status: 'rejected', row: 2, column: 'name' },
  ]);
});

test.each([
  ['', 1, /empty/],
  ['city,phone\nParis,1', 1, /no column is the company's name or domain/],
  ['name,url\nA,a.com\n"B,b.com\nC,c.com', 3, /never closed/],
  ['"name,url\nA,a.com', 1, /never closed/],
  ['name,"url\nA,a.com\n"B",b.com', 1, /^lines 1 to 3 /],
  [Buffer.from('\xef\xbb\xbfname,Stra\xdfe\nA,1', 'latin1'), 1, /not UTF-8/],
  [Buffer.from([0x50, 0x4b, 3, 4, 1, 2]), 1, /workbook/],
  [Buffer.from([0x1f, 0x8b, 8]), 1, /gzip/],
  [Buffer.from([0xff, 0xfe, 0, 0, 1]), 1, /UTF-32/],
])('a file that cannot be read is refused with its row and reason (%#)', async (content, row, reason) => {
  await expect(linesOf(content)).rejects.toMatchObject({
    name: 'CsvRejected',
    code: 'csv_rejected',
    row,
    reason: expect.stringMatching(reason),
  });
});

test('any bytes are read or refused with a reason', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.uint8Array({ maxLength: 300 }),
      fc.constantFrom('', 'name,url\n'),
      async (bytes, head) => {
        const content = Buffer.concat([Buffer.from(head), bytes]);
        const error = await linesOf(content, { pieceBytes: 64 }).then(
          () => null,
          (reason: unknown) => reason,
        );
        if (error !== null) expect(error).toMatchObject({ code: 'csv_rejected' });
      },
    ),
  );
});

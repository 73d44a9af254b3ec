import fc from 'fast-check';
import { isAllowed, parseNetworks } from '../../core/http/addresses.ts';

const hex = (n: number) => n.toString(16);
const within = (...[a, b, c, d]: [number, number, number, number]) => ({
  mapped: `::ffff:${a}.${b}.${c}.${d}`,
  nat64: `64:ff9b::${hex(a * 256 + b)}:${hex(c * 256 + d)}`,
  localNat64: `64:ff9b:1:${hex(a * 256 + b)}:${hex(c)}:${hex(d * 256)}::`,
  sixToFour: `2002:${hex(a * 256 + b)}:${hex(c * 256 + d)}::1`,
  teredo: `2001:0:4136:e378:8000:63bf:${hex(0xffff - a * 256 - b)}:${hex(0xffff - c * 256 - d)}`,
  compatible: `::${hex(a * 256 + b)}:${hex(c * 256 + d)}`,
  translated: `::ffff:0:${hex(a * 256 + b)}:${hex(c * 256 + d)}`,
});

test.each([
  ...['0.0.0.0', '10.1.2.3', '100.64.0.1', '100.127.255.255', '127.0.0.1', '127.255.255.254'],
  ...['169.254.169.254', '169.254.170.2', '172.16.0.1', '172.31.255.255', '192.168.0.1', '192.0.0.1'],
  ...[
    '192.0.2.1',
    '192.88.99.1',
    '198.18.0.1',
    '198.51.100.1',
    '203.0.113.1',
    '224.0.0.1',
    '239.255.255.255',
  ],
  ...['240.0.0.1', '255.255.255.255', '168.63.129.16', '100.100.100.200', '192.0.0.192'],
  ...[
    '::',
    '::1',
    'fe80::1',
    'fe80::1%eth0',
    'fec0::1',
    'fc00::1',
    'fd00:ec2::254',
    'fd20:ce::254',
    'ff02::1',
  ],
  ...['100::1', '2001:db8::1', '2001:2::1', '2001:10::1', '2001:20::1', '3fff::1', '4000::1', '5f00::1'],
  ...Object.values(within(10, 0, 0, 1)),
  ...Object.values(within(127, 0, 0, 1)),
  ...Object.values(within(169, 254, 169, 254)),
])('%s is nowhere a provider may live', (address) => {
  expect(isAllowed(address, [])).toBe(false);
});

test.each(['1.1.1.1', '8.8.8.8', '172.32.0.1', '100.128.0.1', '2606:4700::1111', '2a00:1450:4001::200e'])(
  '%s is public',
  (address) => {
    expect(isAllowed(address, [])).toBe(true);
  },
);

test('a mapped or translated address is judged as the IPv4 address it leads to, tunnels never pass', () => {
  const { mapped, nat64, ...others } = within(8, 8, 8, 8);
  expect([mapped, nat64].map((address) => isAllowed(address, []))).toEqual([true, true]);
  expect(Object.values(others).filter((address) => isAllowed(address, []))).toEqual([]);
});

test.each([
  '0x7f.1',
  '017700000001',
  '2130706433',
  '0x7f000001',
  '127.1',
  '8.8.8',
  '010.8.8.8',
  '',
  'localhost',
])('the spelling "%s" is no address', (address) => {
  expect(isAllowed(address, parseNetworks(['0.0.0.0/0']))).toBe(false);
});

test('the allow list opens its networks and nothing beside them', () => {
  const networks = parseNetworks(['10.1.0.0/16', 'fd12:3456::/32']);
  const open = ['10.1.255.255', '::ffff:10.1.0.1', 'fd12:3456::1'];
  const shut = ['10.2.0.0', '10.0.255.255', 'fd12:3457::1', '127.0.0.1', '::1'];
  expect(open.filter((address) => !isAllowed(address, networks))).toEqual([]);
  expect(shut.filter((address) => isAllowed(address, networks))).toEqual([]);
});

test('not even an allow list of everything opens metadata services, multicast and tunnels', () => {
  const everything = parseNetworks(['0.0.0.0/0', '::/0']);
  const shut = ['169.254.169.254', '169.254.170.2', '224.0.0.1', '255.255.255.255', 'fe80::1', 'ff02::1'];
  const { compatible: _, ...embedded } = within(169, 254, 169, 254);
  const more = [
    'fd00:ec2::254',
    '100.100.100.200',
    '168.63.129.16',
    '192.0.0.192',
    ...Object.values(embedded),
  ];
  expect([...shut, ...more].filter((address) => isAllowed(address, everything))).toEqual([]);
  expect(isAllowed('127.0.0.1', everything)).toBe(true);
});

test('no private IPv4 address passes in any disguise', () => {
  const octet = fc.integer({ min: 0, max: 255 });
  const isPrivate: fc.Arbitrary<[number, number, number, number]> = fc.oneof(
    fc.tuple(fc.constantFrom(0, 10, 127), octet, octet, octet),
    fc.tuple(fc.constant(172), fc.integer({ min: 16, max: 31 }), octet, octet),
    fc.tuple(fc.constant(192), fc.constant(168), octet, octet),
    fc.tuple(fc.constant(169), fc.constant(254), octet, octet),
    fc.tuple(fc.constant(100), fc.integer({ min: 64, max: 127 }), octet, octet),
    fc.tuple(fc.integer({ min: 224, max: 255 }), octet, octet, octet),
  );
  fc.assert(
    fc.property(isPrivate, (octets) => {
      const disguises = [octets.join('.'), ...Object.values(within(...octets))];
      expect(disguises.filter((address) => isAllowed(address, []))).toEqual([]);
    }),
  );
});

test.each(['10.0.0.0', '10.0.0.0/33', 'example.com', '10.0.0.0/8 '])(
  '"%s" is refused as a network',
  (network) => {
    expect(() => parseNetworks([network])).toThrow(`${network} is not a network such as 10.0.0.0/8`);
  },
);

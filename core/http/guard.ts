import { isIP, type LookupFunction } from 'node:net';
import { Agent, buildConnector } from 'undici';
import { isAllowed, type Network, parseNetworks } from './addresses.ts';
import { networkResolver } from './resolve.ts';

/** The request would leave for where no provider may live. It was refused before any connection. */
export class AddressRefused extends Error {
  readonly code = 'address_refused';
}

/** Does not say which address it is: what a name means inside the network is not for the caller to learn. */
const notPublic =
  'the URL leads to an address that is not public; allow its network with PROVIDER_ALLOWED_NETWORKS if it is yours';

/** Ports of other protocols (the bad ports of the Fetch standard, Redis, Memcached): no provider answers there. */
const refusedPorts = new Set([
  0, 1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103, 104,
  109, 110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 465, 512, 513, 514, 515,
  526, 530, 531, 532, 540, 548, 554, 556, 563, 587, 601, 636, 989, 990, 993, 995, 1719, 1720, 1723, 2049,
  3659, 4045, 4190, 5060, 5061, 6000, 6379, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080, 11211,
]);

interface Target {
  protocol: string;
  hostname: string;
  port: string;
}

/** @returns why, as far as the URL alone says it: names need DNS */
function refusal({ protocol, hostname, port }: Target, allowedNetworks: Network[]): string | undefined {
  const number = Number(port || (protocol === 'https:' ? 443 : 80));
  if (refusedPorts.has(number)) return `port ${number} belongs to another protocol; use another one`;
  // An address written in the URL needs no DNS, so it never reaches `lookup`.
  const host = hostname.replace(/^\[|\]$/g, '');
  return isIP(host) && !isAllowed(host, allowedNetworks) ? notPublic : undefined;
}

/**
 * For a URL that is asked much later: whether it is plain already that it will be refused. What its name stands for is
 * looked up when connecting, save that of the machine itself, which stands for no other.
 * @returns a function that says why, or undefined
 * @throws Error when one of `allowedNetworks` is no CIDR
 */
export function urlGuard(allowedNetworks: string[]): (url: string) => string | undefined {
  const allowed = parseNetworks(allowedNetworks);
  const loopback = ['127.0.0.1', '::1'].some((address) => isAllowed(address, allowed));
  return (url) => {
    const target = new URL(url);
    if (/(^|\.)localhost\.?$/.test(target.hostname) && !loopback) return notPublic;
    return refusal(target, allowed);
  };
}

/** No provider is given longer than this (DESIGN §5): it ends well before the Lambda does. */
export const maxExchangeMs = 90_000;

/**
 * One pooled client for all providers. Addresses are checked when connecting, after DNS, and the addresses that were
 * checked are the ones connected to, so that a name cannot turn private between check and use. It follows no
 * redirect, and certificates are verified whatever the environment says.
 * @param options.allowedNetworks CIDRs that are not public and yet may be asked
 * @param options.connections at most so many to one origin
 * @param options.resolve how names become addresses; over the network unless given (core/http/resolve.ts)
 * @throws Error when one of `allowedNetworks` is no CIDR
 */
export function guardedAgent(options: {
  allowedNetworks: string[];
  connections: number;
  resolve?: LookupFunction;
}): Agent {
  const allowedNetworks = parseNetworks(options.allowedNetworks);
  // Where no private network is allowed, a name that only the system knows would be refused anyway.
  const resolve = options.resolve ?? networkResolver({ askSystem: allowedNetworks.length > 0 });
  const connect = buildConnector({
    timeout: 10_000,
    // One exchange a connection: to cut a bad one off harms no other.
    allowH2: false,
    rejectUnauthorized: true,
    minVersion: 'TLSv1.2',
    lookup(hostname, lookupOptions, callback) {
      resolve(hostname, { ...lookupOptions, all: true }, (error, found) => {
        if (error) return callback(error, [], 0);
        const addresses = typeof found === 'string' ? [{ address: found, family: isIP(found) }] : found;
        const [first] = addresses;
        if (!first || addresses.some(({ address }) => !isAllowed(address, allowedNetworks)))
          return callback(new AddressRefused(notPublic), [], 0);
        if (lookupOptions.all) return callback(null, addresses);
        return callback(null, first.address, first.family);
      });
    },
  });
  return new Agent({
    connections: options.connections,
    allowH2: false,
    keepAliveTimeout: 4_000,
    headersTimeout: maxExchangeMs,
    bodyTimeout: maxExchangeMs,
    connect(target, callback) {
      const reason = refusal(target, allowedNetworks);
      if (reason !== undefined) return callback(new AddressRefused(reason), null);
      return connect(target, callback);
    },
  });
}

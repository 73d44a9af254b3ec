import { lookup } from 'node:dns';
import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';
import { Agent, buildConnector } from 'undici';

/** The address is private, link-local or otherwise not on the public internet, and no allowed network holds it. */
export class AddressRefused extends Error {
  readonly code = 'address_refused';
  constructor(address: string) {
    super(
      `${address} is not a public address; allow its network with PROVIDER_ALLOWED_NETWORKS if it is yours`,
    );
  }
}

/** @returns whether requests may go to this IP address */
export function isAllowed(address: string, allowedNetworks: string[]): boolean {
  if (!ipaddr.isValid(address)) return false;
  const ip = ipaddr.process(address); // IPv4 mapped into IPv6 becomes the IPv4 address it stands for
  const inAllowed = allowedNetworks.some((network) => {
    const [base, bits] = ipaddr.parseCIDR(network);
    return ip.kind() === base.kind() && ip.match(base, bits);
  });
  return inAllowed || ip.range() === 'unicast';
}

/**
 * One pooled client for all providers. Addresses are checked when connecting, after DNS, so that a name cannot turn
 * private between check and use.
 */
export function guardedAgent(options: { allowedNetworks: string[]; connections: number }): Agent {
  const connect = buildConnector({
    timeout: 10_000,
    lookup(hostname, lookupOptions, callback) {
      lookup(hostname, { ...lookupOptions, all: true }, (error, addresses) => {
        if (error) return callback(error, [], 0);
        const refused = addresses.find(({ address }) => !isAllowed(address, options.allowedNetworks));
        if (refused) return callback(new AddressRefused(refused.address), [], 0);
        const [first] = addresses;
        if (lookupOptions.all || !first) return callback(null, addresses);
        return callback(null, first.address, first.family);
      });
    },
  });
  return new Agent({
    connections: options.connections,
    keepAliveTimeout: 30_000,
    connect(target, callback) {
      // An address written in the URL needs no DNS, so it never reaches `lookup`.
      const host = target.hostname.replace(/^\[|\]$/g, '');
      if (isIP(host) && !isAllowed(host, options.allowedNetworks))
        return callback(new AddressRefused(host), null);
      return connect(target, callback);
    },
  });
}

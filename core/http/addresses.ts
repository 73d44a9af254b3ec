import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';

export type Network = ReturnType<typeof ipaddr.parseCIDR>;

/**
 * Where no provider lives, whatever the allow list says: link-local with the clouds' metadata services, multicast,
 * and the tunnels and translators that would carry a request on to an address nobody checked.
 */
const neverAllowed = [
  '169.254.0.0/16',
  'fe80::/10',
  '224.0.0.0/4',
  'ff00::/8',
  '255.255.255.255/32',
  '100.100.100.200/32', // metadata of Alibaba Cloud
  '168.63.129.16/32', // host of Azure
  '192.0.0.192/32', // metadata of Oracle Cloud
  'fd00:ec2::/32', // metadata of AWS
  'fd20:ce::/32', // metadata of Google Cloud
  '64:ff9b:1::/48', // NAT64 of local use: where the IPv4 address is in it, only the operator knows
  '2002::/16', // 6to4
  '2001::/32', // Teredo
  '::ffff:0:0:0/96', // IPv4 translated
].map((network) => ipaddr.parseCIDR(network));

const nat64 = ipaddr.parseCIDR('64:ff9b::/96');
/** The only part of IPv6 that has been given out as public so far. */
const publicIpv6 = ipaddr.parseCIDR('2000::/3');

/** @throws Error that names the first one that is no CIDR such as `10.0.0.0/8` */
export function parseNetworks(networks: string[]): Network[] {
  return networks.map((network) => {
    if (!ipaddr.isValidCIDR(network)) throw new Error(`${network} is not a network such as 10.0.0.0/8`);
    return ipaddr.parseCIDR(network);
  });
}

/**
 * @param address as DNS or a parsed URL gives it; odd spellings (`0x7f.1`, `017700000001`) are refused, because
 *   whoever resolves them has turned them into plain ones by then
 * @returns whether requests may go to this IP address
 */
export function isAllowed(address: string, allowedNetworks: Network[]): boolean {
  if (isIP(address) === 0) return false;
  const ip = innermost(ipaddr.parse(address));
  const isIn = ([base, bits]: Network) => ip.kind() === base.kind() && ip.match(base, bits);
  if (neverAllowed.some(isIn)) return false;
  if (allowedNetworks.some(isIn)) return true;
  return ip.range() === 'unicast' && (ip.kind() === 'ipv4' || isIn(publicIpv6));
}

/** IPv4 mapped into IPv6, or sent through NAT64, is judged as the IPv4 address it stands for. */
function innermost(ip: ipaddr.IPv4 | ipaddr.IPv6): ipaddr.IPv4 | ipaddr.IPv6 {
  if (!(ip instanceof ipaddr.IPv6)) return ip;
  if (ip.isIPv4MappedAddress()) return ip.toIPv4Address();
  if (ip.match(nat64)) return new ipaddr.IPv4(ip.toByteArray().slice(12));
  return ip;
}

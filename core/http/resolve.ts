import { type LookupAddress, lookup, promises } from 'node:dns';
import type { LookupFunction } from 'node:net';

/** A name server gets so long, twice: a name that nobody answers for costs its own request, well before its deadline. */
const options = { timeout: 2_000, tries: 2 };
/** What no other way to ask would better: nobody answered. */
const unanswered = new Set(['ETIMEOUT', 'ESERVFAIL', 'ECANCELLED']);

/**
 * Names to addresses over the network, by c-ares. The system's own way (`dns.lookup`) holds one of a process's few
 * threads for each name and cannot be called off: a tenant whose name server is dead would stop every other look-up
 * of the process, those of the queue and of the database among them.
 * @param askSystem whether names that DNS does not know are looked for in the system's way too, as those in /etc/hosts
 *   or of a search domain: for whoever runs on his own network
 * @param servers name servers, with ports; the system's unless given
 */
export function networkResolver({
  askSystem,
  servers,
}: {
  askSystem: boolean;
  servers?: string[];
}): LookupFunction {
  const resolver = new promises.Resolver(options);
  if (servers) resolver.setServers(servers);
  return (hostname, lookupOptions, callback) => {
    const system = () => lookup(hostname, { ...lookupOptions, all: true }, callback);
    // No name server is to be asked for these (RFC 6761).
    if (/(^|\.)localhost\.?$/i.test(hostname)) return void system();
    addressesOf(resolver, hostname).then(
      (addresses) => callback(null, addresses),
      (error: NodeJS.ErrnoException) => {
        if (askSystem && !unanswered.has(error.code ?? '')) system();
        else callback(error, []);
      },
    );
  };
}

/** Both families: of which a connection can be made is known when connecting. @throws why there is no IPv4 address */
async function addressesOf(resolver: promises.Resolver, hostname: string): Promise<LookupAddress[]> {
  const [four, six] = await Promise.allSettled([resolver.resolve4(hostname), resolver.resolve6(hostname)]);
  const of = (found: PromiseSettledResult<string[]>, family: 4 | 6): LookupAddress[] =>
    found.status === 'fulfilled' ? found.value.map((address) => ({ address, family })) : [];
  const addresses = [...of(four, 4), ...of(six, 6)];
  if (addresses.length === 0 && four.status === 'rejected') throw four.reason;
  return addresses;
}

import type { Ask } from './asks.ts';

/**
 * Makes asks side by side, at most `concurrency` at once. Next is always one of the tenant, and of his providers that,
 * which has the fewest under way: however slow one is, and however many asks it has, all others get on beside it.
 */
export async function takeTurns(
  asks: Ask[],
  concurrency: number,
  make: (ask: Ask) => Promise<void>,
): Promise<void> {
  const underWay = new Map<string, number>();
  const count = (id: string) => underWay.get(id) ?? 0;
  const lines = [...Map.groupBy(asks, (ask) => ask.provider.id).values()];
  const next = () => {
    let first: Ask[] | undefined;
    let least: readonly [number, number] = [Number.POSITIVE_INFINITY, 0];
    for (const line of lines) {
      const provider = line[0]?.provider;
      if (!provider) continue;
      const own = [count(provider.user_id), count(provider.id)] as const;
      if (own[0] > least[0] || (own[0] === least[0] && own[1] >= least[1])) continue;
      first = line;
      least = own;
    }
    return first?.shift();
  };
  const work = async () => {
    for (let ask = next(); ask; ask = next()) {
      const { id, user_id } = ask.provider;
      for (const key of [user_id, id]) underWay.set(key, count(key) + 1);
      await make(ask);
      for (const key of [user_id, id]) underWay.set(key, count(key) - 1);
    }
  };
  await Promise.all(Array.from({ length: Math.min(concurrency, asks.length) }, work));
}

export interface Provider {
  id: string;
  /** The tenant. */
  user_id: string;
  url: string;
  secret: string;
  /** Stands for both: what is learnt of this one says nothing about another. */
  endpoint: string;
  batch_size: number;
  timeout_ms: number;
  /** Not `closed`: this ask is the probe that decides whether it closes. */
  circuit: 'closed' | 'open' | 'half_open';
  failed_asks: number;
  /** Whether a good answer is news as well: to close the circuit, forget failures or raise the rate again. */
  watched: boolean;
}

export interface ClaimedJob {
  id: string;
  attempt_id: string;
  batch_id: string;
  provider_id: string;
  kind: string;
  ask_id: string;
  company: { id: string; name: string; domain: string | null; attributes: Record<string, unknown> };
}

/** One POST: its id is the `webhook-id` and names the callback. */
export interface Ask {
  id: string;
  provider: Provider;
  jobs: ClaimedJob[];
}

/** The jobs as the claim has put them together. */
export function asksOf(providers: Provider[], jobs: ClaimedJob[]): Ask[] {
  const providerOf = new Map(providers.map((provider) => [provider.id, provider]));
  return [...Map.groupBy(jobs, (job) => job.ask_id)].map(([id, own]) => {
    const provider = providerOf.get(own[0]?.provider_id ?? '');
    if (!provider) throw new Error('a job was claimed for a provider that was not looked at');
    return { id, provider, jobs: own };
  });
}

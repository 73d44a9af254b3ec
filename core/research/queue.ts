import { z } from 'zod';

/** What travels on the research queue: ids only. The truth about them is in `research_jobs`. */
export const ResearchMessage = z.strictObject({
  v: z.literal(1),
  jobIds: z.array(z.uuid()).min(1).max(100),
});
export type ResearchMessage = z.infer<typeof ResearchMessage>;

/** When the stamps of a message's jobs end, the first and the last, in µs since 1970: this is how they are told apart. */
export interface Stamps {
  first: number;
  last: number;
}

/** The attribute of a message that holds its stamps: beside the body, where code that does not know it passes over it. */
export const stampsAttribute = 'stamps';

export const writeStamps = ({ first, last }: Stamps): string => `${first}-${last}`;

/** @returns undefined for a message without stamps, or with what are none */
export function readStamps(text: string | undefined): Stamps | undefined {
  const [, first, last] = /^(\d{1,15}|[1-8]\d{15})-(\d{1,15}|[1-8]\d{15})$/.exec(text ?? '') ?? [];
  return first === undefined ? undefined : { first: Number(first), last: Number(last) };
}

export interface OutgoingMessage<Body = ResearchMessage> {
  body: Body;
  /** Goes beside the body. */
  attributes?: Record<string, string>;
  /** 0 to 900 seconds. */
  delaySeconds: number;
  /** The tenant, for fair queues. */
  groupId: string;
}

/** It may lose, repeat and reorder messages; nothing depends on it but speed. */
export interface Queue<Body> {
  /** Sends any number of messages, ten a call. @returns those that the queue did not take, after its own retries */
  send(messages: OutgoingMessage<Body>[]): Promise<OutgoingMessage<Body>[]>;
}

/** The conveyor. */
export type ResearchQueue = Queue<ResearchMessage>;

/** Events, not sentences; ids, not people. */
export interface Log {
  info(event: string, fields: Record<string, unknown>): void;
  warn(event: string, fields: Record<string, unknown>): void;
}

/** @returns the message, or why it is none */
export function parseMessage(
  body: string,
): { ok: true; message: ResearchMessage } | { ok: false; reason: string } {
  let json: unknown;
  try {
    json = JSON.parse(body);
  } catch {
    return { ok: false, reason: 'the body is not JSON' };
  }
  const parsed = ResearchMessage.safeParse(json);
  if (parsed.success) return { ok: true, message: parsed.data };
  const issue = parsed.error.issues[0];
  return { ok: false, reason: `${issue?.path.join('.') || 'message'}: ${issue?.message ?? 'not valid'}` };
}

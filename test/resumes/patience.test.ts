import type { ClaimedResume } from '../../core/resumes/claim.ts';
import { outcomeOf } from '../../core/resumes/outcome.ts';
import type { Reply } from '../../core/resumes/post.ts';

const claimed = (more: Partial<ClaimedResume> = {}): ClaimedResume => ({
  id: 'batch',
  user_id: 'tenant',
  campaign_id: 'campaign',
  kind: 'company',
  status: 'completed',
  total: 1,
  finished_at: null,
  url: 'https://n8n.example/',
  wait: null,
  lease_id: 'lease',
  attempts: 1,
  gone_count: 0,
  age_seconds: 0,
  ...more,
});
const said = (status: number): Reply => ({ type: 'failed', status, error: `http_${status}` });
const of = (more: Partial<ClaimedResume>, reply: Reply) => outcomeOf(claimed(more), reply, () => 1);

test('409 is asked again every five minutes at most, and once an hour after two hours', () => {
  const delays = Array.from({ length: 30 }, (_, n) => of({ attempts: n + 1 }, said(409)).delaySeconds);
  expect(delays.slice(0, 10)).toEqual([1, 2, 4, 8, 16, 32, 64, 128, 256, 300]);
  expect(delays.slice(10, 24)).toEqual(Array(14).fill(300));
  expect(delays.slice(24)).toEqual(Array(6).fill(3_600));
});

test('that an execution is gone is believed in a row only: any other answer in between says that somebody is there', () => {
  const gone: Reply = { type: 'failed', status: 404, gone: true, error: 'http_404' };
  expect(of({ gone_count: 5 }, gone)).toMatchObject({ state: 'due', goneCount: 6 });
  expect(of({ gone_count: 6 }, gone)).toMatchObject({ state: 'failed', goneCount: 7 });
  // A 404 of whatever stands before n8n is no such word.
  for (const status of [404, 409, 500])
    expect(of({ gone_count: 6 }, said(status))).toMatchObject({ state: 'due', goneCount: 0 });
});

test('what nobody was asked for want of time counts for nothing', () => {
  expect(of({ gone_count: 6, age_seconds: 1e9 }, { type: 'unasked' })).toMatchObject({
    state: 'due',
    unasked: true,
    goneCount: 6,
    delaySeconds: 1,
  });
});

test.each([
  [{ type: 'failed', error: 'network: the connection failed' } as const, 'due'],
  [{ type: 'refused', error: 'address_refused' } as const, 'failed'],
])('%j leaves it %s', (reply, state) => {
  expect(of({}, reply)).toMatchObject({ state });
});

/** Calls the HTTP API as any user would. @throws Error with the problem's detail when the answer is not 2xx */
export type Api = <Answer = unknown>(method: string, path: string, body?: unknown) => Promise<Answer>;

export function apiClient(url: string, key: string): Api {
  return async <Answer>(method: string, path: string, body?: unknown) => {
    const response = await fetch(`${url}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${key}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path} answered ${response.status}: ${text.slice(0, 500)}`);
    return JSON.parse(text) as Answer;
  };
}

import { randomBytes } from 'node:crypto';
import pg from 'pg';

export interface Logins {
  /** As aim_api, for the API. */
  api: string;
  /** As aim_worker, for the other functions. */
  worker: string;
}

/** Gives the roles that the migrations made a way in, with passwords of this run, as an operator does once. */
export async function giveLogins(databaseUrl: string): Promise<Logins> {
  const admin = new pg.Client({ connectionString: databaseUrl });
  await admin.connect();
  const as = async (role: 'aim_api' | 'aim_worker') => {
    const url = new URL(databaseUrl);
    url.username = role;
    url.password = randomBytes(18).toString('hex');
    await admin.query(`alter role ${role} login password '${url.password}'`);
    return url.href;
  };
  try {
    return { api: await as('aim_api'), worker: await as('aim_worker') };
  } finally {
    await admin.end();
  }
}

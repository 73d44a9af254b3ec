import { applyMigrations } from '../core/db/migrate.ts';

/** `node scripts/migrate.ts up|down [COUNT]`, on DATABASE_URL. */
const [direction = 'up', count] = process.argv.slice(2);
const databaseUrl = process.env.DATABASE_URL;
const isCount = count === undefined || /^[1-9]\d*$/.test(count);
if (!databaseUrl || (direction !== 'up' && direction !== 'down') || !isCount) {
  console.error('usage: DATABASE_URL=postgres://… node scripts/migrate.ts up|down [COUNT]');
  process.exit(2);
}
const names = await applyMigrations(databaseUrl, {
  direction,
  ...(count === undefined ? {} : { count: Number(count) }),
});
console.log(names.length === 0 ? 'nothing to do' : `${direction}: ${names.join(', ')}`);

import { type ParseArgsOptionsConfig, parseArgs } from 'node:util';

/** Reads the flags of a command. What it does not take ends the process with 2, naming it and what the command takes. */
export function readFlags<const Options extends ParseArgsOptionsConfig>(options: Options, usage: string) {
  try {
    return parseArgs({ options }).values;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (!code?.startsWith('ERR_PARSE_ARGS_')) throw error;
    refuse(message, usage);
  }
}

export function refuse(complaint: string, usage: string): never {
  console.error(`aim-for-leads: ${complaint}
usage: ${usage}
Write -- before the flags: what stands without it, npm takes for its own.`);
  process.exit(2);
}

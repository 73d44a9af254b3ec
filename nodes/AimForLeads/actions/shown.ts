/** A value that came where another was wanted, for the error that says so. */
export const shown = (value: unknown): string => String(JSON.stringify(value)).slice(0, 100);

import { AimError } from '../errors.ts';

/** A CSV file, or one row of it, that cannot be imported: where, and why. `row` is a line of the file, from 1. */
export class CsvRejected extends AimError {
  readonly row: number;
  readonly column: string | null;
  readonly reason: string;

  constructor(reason: string, at: { row: number; column?: string | null }, options?: ErrorOptions) {
    const where = at.column ? `row ${at.row}, column ${at.column}` : `row ${at.row}`;
    super(`${where}: ${reason}`, { code: 'csv_rejected', status: 400 }, options);
    this.row = at.row;
    this.column = at.column ?? null;
    this.reason = reason;
  }
}

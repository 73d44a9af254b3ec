/** One place in the request or row that is wrong, and why. `path` is a JSON path such as `rows[3].email`. */
export interface FieldError {
  path: string;
  code: string;
  message: string;
}

/** Base of every error the system raises on purpose. `code` is stable; `status` is its HTTP meaning. */
export class AimError extends Error {
  readonly code: string;
  readonly status: number;
  readonly retryable: boolean;

  constructor(
    message: string,
    kind: { code: string; status: number; retryable?: boolean },
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.name = new.target.name;
    this.code = kind.code;
    this.status = kind.status;
    this.retryable = kind.retryable ?? false;
  }
}

export class InvalidRequest extends AimError {
  readonly errors: FieldError[];
  constructor(errors: FieldError[], options?: ErrorOptions) {
    super(
      errors[0]?.message ?? 'the request is not valid',
      { code: 'invalid_request', status: 400 },
      options,
    );
    this.errors = errors;
  }
}

export class InvalidCursor extends AimError {
  constructor(message = 'the cursor does not belong to this list, filter and order; start again without it') {
    super(message, { code: 'invalid_cursor', status: 400 });
  }
}

export class Unauthorized extends AimError {
  constructor(message = 'send a valid API key: Authorization: Bearer afl_…', code = 'unauthorized') {
    super(message, { code, status: 401 });
  }
}

export class Forbidden extends AimError {
  constructor(scope: string) {
    super(`this key lacks the scope ${scope}; make a key that has it`, { code: 'forbidden', status: 403 });
  }
}

export class NotFound extends AimError {
  constructor(what: string, id: string) {
    super(`${what} ${id} does not exist`, { code: 'not_found', status: 404 });
  }
}

export class Conflict extends AimError {
  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, { code, status: 409 }, options);
  }
}

/** Refused by the guard of archived campaigns: something was archived between the look and the write. */
export const isArchived = (error: unknown): boolean =>
  error instanceof Conflict && error.code === 'campaign_archived';

/**
 * How long AWS's clients wait, for one try of the three that they make: without limits a connection that vanished would
 * hold an invocation until its end.
 */
export const requestHandler = {
  connectionTimeout: 2_000,
  requestTimeout: 5_000,
  // Else the client only says so in its log.
  throwOnRequestTimeout: true,
};

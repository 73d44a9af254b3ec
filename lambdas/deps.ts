import { setTimeout as sleep } from 'node:timers/promises';
import { Logger } from '@aws-lambda-powertools/logger';
import { SQSClient } from '@aws-sdk/client-sqs';
import { config } from '../core/config.ts';
import { connect } from '../core/db/connect.ts';
import type { DeliveryMessage } from '../core/deliveries/queue.ts';
import { guardedAgent, urlGuard } from '../core/http/guard.ts';
import type { Log } from '../core/research/queue.ts';
import { requestHandler } from './aws.ts';
import { sqsQueue } from './sqs.ts';

/** Builds a value once a container, at its first use. */
export function once<Value>(build: () => Value): () => Value {
  let built: { value: Value } | undefined;
  return () => {
    built ??= { value: build() };
    return built.value;
  };
}

/** Everything a handler hands to the use cases. Clients live as long as the container. */
export const deps = once(() => {
  const settings = config();
  const logger = new Logger({ serviceName: process.env.AWS_LAMBDA_FUNCTION_NAME ?? 'aim-for-leads' });
  const log: Log = {
    info: (event, fields) => logger.info(event, fields),
    warn: (event, fields) => logger.warn(event, fields),
  };
  // A local queue names itself by a host that not every machine resolves; the endpoint is known either way.
  const sqs = new SQSClient({ useQueueUrlAsEndpoint: false, requestHandler });
  return {
    db: connect(settings.databaseUrl, {
      statementTimeoutMs: settings.queryTimeoutMs,
      slow: { slowMs: settings.slowStatementMs, log: log.warn },
    }),
    queue: sqsQueue(sqs, settings.researchQueueUrl),
    deliveries: sqsQueue<DeliveryMessage>(sqs, settings.deliveryQueueUrl),
    http: guardedAgent({
      allowedNetworks: settings.providerAllowedNetworks,
      connections: settings.dispatchConcurrency,
    }),
    refusal: urlGuard(settings.providerAllowedNetworks),
    log,
    clock: Date.now,
    random: Math.random,
    sleep,
    archiveFunction: settings.archiveFunction,
    publicUrl: settings.publicUrl,
    claimLeaseSeconds: settings.claimLeaseSeconds,
    concurrency: settings.dispatchConcurrency,
  };
});

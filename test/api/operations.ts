import type { Everything } from '../support/everything.ts';
import type { Json } from './client.ts';

/** An operation of the OpenAPI document, its references resolved. */
export interface Operation {
  method: string;
  path: string;
  parameters: { in: string; name: string; schema: Json }[];
  body: Json;
}

export function operationsOf(document: Json): Operation[] {
  const resolve = (schema: Json): Json => {
    if (Array.isArray(schema)) return schema.map(resolve);
    if (typeof schema !== 'object' || schema === null) return schema;
    if (schema.$ref) return resolve(document.components.schemas[schema.$ref.split('/').pop()]);
    return Object.fromEntries(Object.entries(schema).map(([key, value]) => [key, resolve(value)]));
  };
  return Object.entries<Json>(document.paths).flatMap(([path, item]) =>
    Object.entries<Json>(item).map(([method, operation]) => ({
      method: method.toUpperCase(),
      path,
      parameters: resolve(operation.parameters ?? []),
      body: resolve(operation.requestBody?.content['application/json'].schema),
    })),
  );
}

export const isId = (schema: Json): boolean => schema?.format === 'uuid' || (schema?.anyOf ?? []).some(isId);
export const isText = (schema: Json): boolean => schema?.type === 'string' && !schema.enum;

/** A body of the right shape, every id and free text of which is the given one. */
export function bodies(schema: Json, own: Everything, at = ''): [string, (value: string) => unknown][] {
  if (schema?.anyOf) return bodies(schema.anyOf[0], own, at);
  if (schema?.enum) return [];
  if (schema?.type === 'array') {
    return bodies(schema.items, own, at).map(([where, make]) => [`${where}[]`, (value) => [make(value)]]);
  }
  if (schema?.type === 'object') {
    const properties = Object.entries<Json>(schema.properties ?? {});
    return properties.flatMap(([name, property]) =>
      bodies(property, own, name).flatMap(([where, make]): [string, (value: string) => unknown][] => {
        const whole = example(schema, own);
        const least = Object.fromEntries(
          Object.entries(whole).filter(([key]) => schema.required?.includes(key)),
        );
        // Two, for a field may exclude another that the example has.
        return [whole, least].map((base) => [
          `${at}.${where}`,
          (value) => ({ ...base, [name]: make(value) }),
        ]);
      }),
    );
  }
  return schema?.type === 'string' ? [[at, (value) => value]] : [];
}

/** What the first tenant would send of his own: the least that the schema wants. */
export function example(schema: Json, own: Everything): Json {
  if (schema?.anyOf) return example(schema.anyOf[0], own);
  if (schema?.enum) return schema.enum[0];
  if (schema?.type === 'array') return [example(schema.items, own)];
  if (schema?.type === 'object') {
    const wanted = new Set([...(schema.required ?? []), ...Object.keys(schema.example ?? {})]);
    return Object.fromEntries(
      [...wanted].map((name) => {
        const property = schema.properties[name];
        if (name === 'provider') return [name, own.mark];
        if (isId(property)) return [name, own.ids[name as keyof Everything['ids']]];
        return [name, schema.example?.[name] ?? example(property, own)];
      }),
    );
  }
  if (schema?.type === 'integer' || schema?.type === 'number') return schema.minimum ?? 1;
  if (schema?.type === 'boolean') return true;
  return schema?.example ?? own.mark;
}

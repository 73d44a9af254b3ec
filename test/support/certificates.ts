import { generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto';
import { isIPv4 } from 'node:net';

/** ASN.1 as X.509 needs it; node reads certificates, and makes none. */
const der = (tag: number, ...parts: Uint8Array[]): Buffer => {
  const content = Buffer.concat(parts);
  const size = Buffer.from(content.length.toString(16).padStart(content.length > 255 ? 4 : 2, '0'), 'hex');
  return Buffer.concat([
    Buffer.from(content.length < 128 ? [tag, content.length] : [tag, 0x80 | size.length, ...size]),
    content,
  ]);
};
const sequence = (...parts: Uint8Array[]) => der(0x30, ...parts);
const oid = (hex: string) => der(0x06, Buffer.from(hex, 'hex'));
const time = (moment: Date) =>
  der(0x18, Buffer.from(`${moment.toISOString().replace(/[-:T]/g, '').slice(0, 14)}Z`));
const named = (name: string) => sequence(der(0x31, sequence(oid('550403'), der(0x0c, Buffer.from(name)))));
const ecdsaSha256 = sequence(oid('2a8648ce3d040302'));

interface Identity {
  name: string;
  key: KeyObject;
  /** PEM */
  cert: string;
}

/**
 * Makes a real certificate, signed by `issuer` or by itself.
 * @param names what hosts it is for, names or IPv4 addresses; none makes it an authority
 */
export function aCertificate(
  name: string,
  { names = [], issuer, expired = false }: { names?: string[]; issuer?: Identity; expired?: boolean } = {},
): Identity & { keyPem: string } {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const day = 24 * 60 * 60 * 1000;
  const until = Date.now() + (expired ? -day : day);
  const hosts = names.map((host) =>
    isIPv4(host) ? der(0x87, Buffer.from(host.split('.').map(Number))) : der(0x82, Buffer.from(host)),
  );
  const extension =
    names.length > 0
      ? sequence(oid('551d11'), der(0x04, sequence(...hosts)))
      : sequence(
          oid('551d13'),
          der(0x01, Buffer.from([255])),
          der(0x04, sequence(der(0x01, Buffer.from([255])))),
        );
  const content = sequence(
    der(0xa0, der(0x02, Buffer.from([2]))),
    der(0x02, Buffer.concat([Buffer.from([1]), randomBytes(8)])),
    ecdsaSha256,
    named(issuer?.name ?? name),
    sequence(time(new Date(until - 2 * day)), time(new Date(until))),
    named(name),
    publicKey.export({ type: 'spki', format: 'der' }),
    der(0xa3, sequence(extension)),
  );
  const signature = sign('sha256', content, issuer?.key ?? privateKey);
  const whole = sequence(content, ecdsaSha256, der(0x03, Buffer.from([0]), signature));
  const base64 = whole.toString('base64').replace(/.{64}/g, '$&\n');
  return {
    name,
    key: privateKey,
    keyPem: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string,
    cert: `-----BEGIN CERTIFICATE-----\n${base64}\n-----END CERTIFICATE-----\n`,
  };
}

// The certificate library's own parts are found by it.
import 'reflect-metadata';
import { randomBytes, webcrypto } from 'node:crypto';
import { isIP } from 'node:net';
import { IsobarError } from '@isobar/protocol';
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  type Extension,
  KeyUsageFlags,
  KeyUsagesExtension,
  PemConverter,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
} from '@peculiar/x509';

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
/** Clocks of machines differ: a certificate holds a little before it was made. */
const backdatedMs = 3_600_000;
const dayMs = 86_400_000;

/** A certificate and its private key, PEM. */
export interface Certificate {
  readonly certificate: string;
  readonly key: string;
}

/** Issues certificates that end no later than its own. */
export class CertificateAuthority {
  readonly pem: Certificate;
  readonly expiresAt: Date;
  readonly #issuer: string;
  readonly #keys: webcrypto.CryptoKeyPair;
  readonly #notBefore: Date;

  private constructor(
    pem: Certificate,
    issuer: string,
    keys: webcrypto.CryptoKeyPair,
    validity: Validity,
  ) {
    this.pem = pem;
    this.#issuer = issuer;
    this.#keys = keys;
    this.#notBefore = validity.notBefore;
    this.expiresAt = validity.notAfter;
  }

  static async create(commonName: string, validDays: number): Promise<CertificateAuthority> {
    const keys = await createKeys();
    const name = certificateSubject(commonName);
    const validity = validityFor(validDays);
    const certificate = await X509CertificateGenerator.createSelfSigned({
      serialNumber: serialNumber(),
      name,
      keys,
      ...validity,
      signingAlgorithm: algorithm,
      extensions: [
        // It signs what processes hold, and no further authority.
        new BasicConstraintsExtension(true, 0, true),
        new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
        await SubjectKeyIdentifierExtension.create(keys.publicKey, false, webcrypto),
      ],
    });
    const pem = { certificate: pemOf(certificate), key: await exportKey(keys) };
    return new CertificateAuthority(pem, name, keys, validity);
  }

  /**
   * An authority made before.
   * @throws IsobarError ISOBAR_AUTH_AUTHORITY where certificate and key are no such, not each
   *   other's, or past their time
   */
  static async load(pem: Certificate, validDays: number): Promise<CertificateAuthority> {
    try {
      const certificate = new X509Certificate(pem.certificate);
      const publicKey = await certificate.publicKey.export(algorithm, ['verify'], webcrypto);
      const privateKey = await importKey(pem.key);
      await assertPair(privateKey, publicKey);
      const validity = validityFor(validDays, certificate.notAfter);
      return new CertificateAuthority(
        pem,
        certificate.subject,
        { privateKey, publicKey },
        validity,
      );
    } catch {
      // No cause: it might quote the key.
      const text =
        'the authority has no certificate and private key (PEM, P-256) that belong together and still hold';
      throw new IsobarError('ISOBAR_AUTH_AUTHORITY', text);
    }
  }

  /**
   * For a server, reached by these host names and addresses.
   * @param isPeer whether it connects to other servers by it as well
   */
  issueServer(commonName: string, hosts: readonly string[], isPeer: boolean): Promise<Certificate> {
    const names = hosts.map((host) => ({
      type: isIP(host) === 0 ? ('dns' as const) : ('ip' as const),
      value: host,
    }));
    const { serverAuth, clientAuth } = ExtendedKeyUsage;
    return this.#issue(commonName, isPeer ? [serverAuth, clientAuth] : [serverAuth], [
      new SubjectAlternativeNameExtension(names),
    ]);
  }

  /** For a client, known by its name; it can't pass for a server. */
  issueClient(commonName: string): Promise<Certificate> {
    return this.#issue(commonName, [ExtendedKeyUsage.clientAuth], []);
  }

  async #issue(
    commonName: string,
    usages: ExtendedKeyUsage[],
    extensions: readonly Extension[],
  ): Promise<Certificate> {
    const keys = await createKeys();
    const certificate = await X509CertificateGenerator.create({
      serialNumber: serialNumber(),
      subject: certificateSubject(commonName),
      issuer: this.#issuer,
      publicKey: keys.publicKey,
      signingKey: this.#keys.privateKey,
      notBefore: this.#notBefore,
      notAfter: this.expiresAt,
      signingAlgorithm: algorithm,
      extensions: [
        new BasicConstraintsExtension(false, undefined, true),
        new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
        new ExtendedKeyUsageExtension(usages),
        await AuthorityKeyIdentifierExtension.create(this.#keys.publicKey, false, webcrypto),
        ...extensions,
      ],
    });
    return { certificate: pemOf(certificate), key: await exportKey(keys) };
  }
}

/** Subject of a certificate, as nats-server writes it. */
export function certificateSubject(commonName: string): string {
  return `CN=${commonName}`;
}

interface Validity {
  readonly notBefore: Date;
  readonly notAfter: Date;
}

function validityFor(validDays: number, latest?: Date): Validity {
  const wanted = Date.now() + validDays * dayMs;
  const notAfter = new Date(Math.min(wanted, latest?.getTime() ?? wanted));
  if (notAfter.getTime() <= Date.now()) throw new Error('past its time');
  return { notBefore: new Date(Date.now() - backdatedMs), notAfter };
}

function importKey(pem: string): Promise<webcrypto.CryptoKey> {
  const key = PemConverter.decodeFirst(pem);
  return webcrypto.subtle.importKey('pkcs8', key, algorithm, false, ['sign']);
}

async function assertPair(
  privateKey: webcrypto.CryptoKey,
  publicKey: webcrypto.CryptoKey,
): Promise<void> {
  const probe = randomBytes(32);
  const signature = await webcrypto.subtle.sign(algorithm, privateKey, probe);
  if (!(await webcrypto.subtle.verify(algorithm, publicKey, signature, probe))) {
    throw new Error('not a pair');
  }
}

function createKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
}

async function exportKey(keys: webcrypto.CryptoKeyPair): Promise<string> {
  const key = await webcrypto.subtle.exportKey('pkcs8', keys.privateKey);
  return `${PemConverter.encode(key, 'PRIVATE KEY')}\n`;
}

function pemOf(certificate: { toString(format: 'pem'): string }): string {
  return `${certificate.toString('pem')}\n`;
}

/** Positive, and not zero, whatever is drawn. */
function serialNumber(): string {
  const bytes = randomBytes(16);
  bytes.writeUInt8((bytes.readUInt8(0) & 0x3f) | 0x40, 0);
  return bytes.toString('hex');
}

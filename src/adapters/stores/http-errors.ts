/** Owns what failures of the network, of TLS and of HTTP mean for a store, and how its answers come to be our words. */
import { KeyturnError, type ErrorCode } from '../../domain/error.ts';

/** Where the error came from, in words for people. */
export interface HttpPlace {
  readonly store: string;
  readonly endpoint: string;
}

export interface Meaning<Place> {
  readonly code: ErrorCode;
  /** What the server's code means, where that is not plain from it. */
  readonly words?: string | ((error: unknown) => string);
  readonly hint: (place: Place) => string;
  /** Worth another try; default false. */
  readonly transient?: boolean;
}

export const away: Meaning<HttpPlace> = {
  code: 'store.unreachable',
  words: 'it does not answer',
  hint: ({ endpoint }) => `See that ${endpoint} is up and can be reached from here (address, port, firewall).`,
  transient: true,
};
export const unwell: Meaning<HttpPlace> = {
  code: 'store.unreachable',
  hint: ({ endpoint }) =>
    `See whether ${endpoint} is full, then look at its log: it answers, but it can not serve this.`,
  transient: true,
};
export const busy: Meaning<HttpPlace> = {
  code: 'store.unreachable',
  hint: ({ endpoint }) => `Wait, or spread the schedules: ${endpoint} asks for fewer requests.`,
  transient: true,
};
export const garbled: Meaning<HttpPlace> = {
  code: 'store.corrupt',
  hint: ({ endpoint }) =>
    `Look at what stands between here and ${endpoint} (proxy, network card): bytes change on the way.`,
  transient: true,
};
export const notThere: Meaning<HttpPlace> = {
  code: 'store.not-found',
  hint: () => 'List the snapshots; it may have been removed meanwhile.',
};
const noName: Meaning<HttpPlace> = {
  ...away,
  words: 'its host name is not known',
  hint: ({ store, endpoint }) => `Check the endpoint of store ${store}: the name in ${endpoint} is not known here.`,
};
const certificate: Meaning<HttpPlace> = {
  code: 'store.refused',
  words: 'its certificate is not trusted',
  hint: ({ store, endpoint }) =>
    `Renew the certificate of ${endpoint}, or name the authority that signed it in caFile of store ${store}.`,
};
const wrongName: Meaning<HttpPlace> = {
  code: 'store.refused',
  words: (error) => {
    const { host, cert } = error as { host?: unknown; cert?: { subjectaltname?: unknown } };
    return `its certificate is for ${namesIn(cert?.subjectaltname)}, not for ${namesIn(host)}`;
  },
  hint: ({ store, endpoint }) =>
    `Correct the endpoint of store ${store}, or have ${endpoint} show a certificate for that name; see that nobody stands in between.`,
};
const noTls: Meaning<HttpPlace> = {
  code: 'store.unreachable',
  hint: ({ store }) =>
    `Correct the endpoint of store ${store}: what answers there speaks no TLS that we know. If it is meant to be plain, use http:// and allowPlainHttp.`,
};
export const other: Meaning<HttpPlace> = {
  code: 'store.refused',
  hint: ({ endpoint }) => `Look the code up in the documentation of ${endpoint}, and at its log.`,
};

/** By the network's code, or TLS's. */
const byNodesName: Readonly<Record<string, Meaning<HttpPlace>>> = {
  TimeoutError: away,
  ECONNREFUSED: away,
  ECONNRESET: away,
  ECONNABORTED: away,
  EPIPE: away,
  ETIMEDOUT: away,
  EHOSTUNREACH: away,
  ENETUNREACH: away,
  ENETDOWN: away,
  ERR_STREAM_PREMATURE_CLOSE: away,
  ENOTFOUND: noName,
  EAI_AGAIN: noName,
  EPROTO: noTls,
  ERR_SSL_WRONG_VERSION_NUMBER: noTls,
  ERR_SSL_PACKET_LENGTH_TOO_LONG: noTls,
  CERT_HAS_EXPIRED: certificate,
  CERT_NOT_YET_VALID: certificate,
  CERT_UNTRUSTED: certificate,
  DEPTH_ZERO_SELF_SIGNED_CERT: certificate,
  SELF_SIGNED_CERT_IN_CHAIN: certificate,
  UNABLE_TO_GET_ISSUER_CERT: certificate,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: certificate,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: certificate,
  ERR_TLS_CERT_ALTNAME_INVALID: wrongName,
};

export interface Protocol<Place> {
  /** By the server's code, or its SDK's. */
  readonly byName: Readonly<Record<string, Meaning<Place>>>;
  /** When the name says nothing: answers to HEAD have no body, and proxies in between speak HTML. */
  readonly byStatus: Readonly<Record<number, Meaning<Place>>>;
  /** Statuses that say more than the name that some servers put beside them. */
  readonly tellingStatus: readonly number[];
  /** Where the server's code may stand in an error, the likeliest last. */
  readonly namesOf: (error: Error) => readonly unknown[];
  readonly statusOf: (error: Error) => unknown;
}

export interface Errors<Place> {
  readonly meaningOf: (error: unknown) => Meaning<Place>;
  /** True when trying again may help. */
  readonly isTransient: (error: unknown) => boolean;
  /** True for the server's own answer of one of these codes. */
  readonly isAnswer: (error: unknown, ...codes: readonly string[]) => boolean;
  readonly statusOf: (error: unknown) => number | undefined;
  /**
   * In our words: the server's code, never its text, headers or the request, so that no secret can be in it.
   * `what` completes "Store x could not …".
   */
  readonly describe: (place: Place, what: string, error: unknown) => KeyturnError;
}

/** Names of errors that say nothing, as SDKs have them for answers without a body. */
const SAY_NOTHING: readonly unknown[] = ['Error', 'Unknown', 'UnknownError', 'RestError'];

export function errorsOf<Place extends HttpPlace>(protocol: Protocol<Place>): Errors<Place> {
  const byName: Readonly<Record<string, Meaning<Place>>> = { ...byNodesName, ...protocol.byName };

  /** The most telling short name: one that the tables know, else the last that says something; letters, digits, underscores and dots only. */
  const nameOf = (error: unknown): string | undefined => {
    if (!(error instanceof Error)) return undefined;
    const names = protocol.namesOf(error).filter((name) => typeof name === 'string');
    const telling = names.filter((name) => /^[\w.]{1,60}$/.test(name) && !SAY_NOTHING.includes(name));
    return telling.find((name) => Object.hasOwn(byName, name)) ?? telling.at(-1);
  };
  const statusOf = (error: unknown): number | undefined => {
    const status = error instanceof Error ? protocol.statusOf(error) : undefined;
    return typeof status === 'number' ? status : undefined;
  };
  const meaningOf = (error: unknown): Meaning<Place> => {
    const status = statusOf(error);
    const name = nameOf(error);
    const byItsStatus = status === undefined ? undefined : protocol.byStatus[status];
    if (byItsStatus && protocol.tellingStatus.includes(status ?? 0)) return byItsStatus;
    const named = name === undefined ? undefined : byName[name];
    return named ?? byItsStatus ?? (status !== undefined && status >= 500 ? unwell : other);
  };
  return {
    meaningOf,
    statusOf,
    isTransient: (error) => meaningOf(error).transient ?? false,
    isAnswer(error, ...codes) {
      const name = nameOf(error);
      return name !== undefined && codes.includes(name);
    },
    describe(place, what, error) {
      if (error instanceof KeyturnError) return error;
      const meaning = meaningOf(error);
      const status = statusOf(error);
      const said = [nameOf(error), status === undefined ? undefined : `HTTP ${status}`]
        .filter((part) => part !== undefined)
        .join(', ');
      const words = typeof meaning.words === 'function' ? meaning.words(error) : meaning.words;
      const why = words === undefined ? said || 'unknown error' : `${words}${said && ` (${said})`}`;
      return new KeyturnError(meaning.code, `Store ${place.store} could not ${what}: ${why}.`, {
        hint: meaning.hint(place),
        cause: new Error(said || 'unknown error'),
      });
    },
  };
}

/** Names out of a certificate are whoever's words: nothing but names of hosts and addresses, and not many. */
function namesIn(value: unknown): string {
  const names = (typeof value === 'string' ? value : '').replaceAll(/DNS:|IP Address:/g, '').split(', ');
  const plain = names.filter((name) => /^[\w*.:-]{1,100}$/.test(name)).slice(0, 3);
  return plain.length === 0 ? 'another name' : plain.join(', ');
}

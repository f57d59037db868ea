export type AuditFact = unknown;

/** Owns what every event says. */
export interface Base {
  /** ISO time. */
  readonly at: string;
  /** Operation id: the job's id; one message in Slack an operation. */
  readonly operation: string;
  readonly cluster: string;
}

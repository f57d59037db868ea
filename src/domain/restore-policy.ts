/** Owns what a cluster's configuration says of restores: whose approvals count, and how a restore is carried out. */

/** Frozen into a request when it is made. */
export interface ApprovalPolicy {
  /** Approvals wanted, at least 1. The requester's own never counts, so 1 means two people. */
  readonly threshold: number;
  /** Slack user group ids (`S…`) and user ids (`U…`, `W…`) whose approval counts. */
  readonly groups: readonly string[];
  readonly expiresMs: number;
  /** 'totp': an approval counts only with a one-time code. */
  readonly stepUp: 'none' | 'totp';
  /** Fewer approvals in an emergency, told to everyone; undefined: there is no such way. */
  readonly breakGlass: { readonly threshold: number } | undefined;
}

/** 'all-members': one snapshot on each; 'one-member': on the first, the others are added with empty data. */
export type RestoreMode = 'all-members' | 'one-member';

/** Whether the kubelet is stopped along with etcd, and whether the containers that are left then are stopped too. */
export type KubeletStop = 'no' | 'kubelet' | 'kubelet-and-containers';

/** 'folder': every manifest beside kube-apiserver's is moved aside with it, etcd's own goes when etcd is stopped. */
export type ManifestsMoved = 'one-by-one' | 'folder';

export interface RestorePolicy {
  readonly approvals: ApprovalPolicy;
  /** What the form suggests. */
  readonly mode: RestoreMode;
  /** What is done when a step fails after the data were swapped: put the old back, or ask people. */
  readonly onFailure: 'roll-back' | 'ask';
  readonly kubelet: KubeletStop;
  readonly manifests: ManifestsMoved;
}

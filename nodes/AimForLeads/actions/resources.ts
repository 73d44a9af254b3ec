import type { INodeProperties } from 'n8n-workflow';
import * as archive from './archive';
import * as archivePolicy from './archivePolicy';
import * as contact from './contact';
import * as erasure from './erasure';
import * as job from './job';
import type { Operation } from './operation';
import * as research from './research';

/** Every resource of the node's menu: its folder, its operations, and the field in which one is chosen. */
export const resources: Record<string, { operations: Record<string, Operation>; menu: INodeProperties }> = {
  archive,
  archivePolicy,
  contact,
  erasure,
  job,
  research,
};

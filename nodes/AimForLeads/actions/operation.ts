import type {
  IBinaryKeyData,
  IDataObject,
  IExecuteFunctions,
  INodeProperties,
  INodePropertyOptions,
} from 'n8n-workflow';

/** An output item with a file. */
export class FileItem {
  constructor(
    readonly json: IDataObject,
    readonly binary: IBinaryKeyData,
  ) {}
}

/** One entry of the node's menu, in a file of its own: how it looks, and what it does for one input item. */
export interface Operation {
  option: INodePropertyOptions;
  fields: INodeProperties[];
  /** @returns the output items of this input item, all of them: what it cannot complete, it throws */
  execute(this: IExecuteFunctions, itemIndex: number): Promise<(IDataObject | FileItem)[]>;
}

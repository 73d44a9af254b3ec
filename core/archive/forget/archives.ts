import type { Walk } from './live.ts';
export const archiveWalks: Record<string, Walk> = {};

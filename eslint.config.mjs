// n8n's own rules, unmodified, for what is published to n8n; biome looks after the rest.
import { config } from '@n8n/node-cli/eslint';

export default config;

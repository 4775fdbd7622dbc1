// The published OpenFeature SDK with its OFREP provider, as a shop's Node server has it.
import { OFREPProvider } from "@openfeature/ofrep-provider";
import { OpenFeature } from "@openfeature/server-sdk";
import { readFileSync } from "node:fs";

const { url, headers, questions } = JSON.parse(readFileSync(0, "utf8"));
await OpenFeature.setProviderAndWait(new OFREPProvider({ baseUrl: url, headers }));
const client = OpenFeature.getClient();
const answers = [];
for (const { flag, context } of questions) {
  const { value, variant, reason, errorCode, flagMetadata } = await client.getStringDetails(flag, "the default", context);
  answers.push({ value, variant, reason, errorCode, metadata: flagMetadata });
}
await OpenFeature.close();
process.stdout.write(JSON.stringify(answers));

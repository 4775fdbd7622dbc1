// The published GrowthBook SDK: fetches the payload as it does in a shop, and answers every user's every feature.
import { GrowthBookClient } from "@growthbook/growthbook";
import { readFileSync } from "node:fs";

const { url, clientKey, users, features } = JSON.parse(readFileSync(0, "utf8"));
const viewed = [];
const client = new GrowthBookClient({
  apiHost: url,
  clientKey,
  trackingCallback: (experiment, result, user) => {
    if (viewed.length < 100) viewed.push([experiment.key, result.key, user.attributes.id]);
  },
});
const ready = await client.init({ timeout: 5000 });
if (!ready.success) throw new Error(`not ready: ${ready.source} ${ready.error}`);
const answers = users.map(([id, attributes]) => {
  const user = { attributes: { ...attributes, id } };
  return features.map((key) => client.getFeatureValue(key, null, user));
});
const known = Object.keys(client.getFeatures()).sort();
client.destroy();
process.stdout.write(JSON.stringify({ answers, viewed, known }));

// Reads exchanges, one JSON a line, and writes for each a JSON list of what Microsoft's description forbids.
const readline = require("readline");
const oav = require("oav");

const OPTIONS = {
  directory: process.argv[2],
  swaggerPathsPattern: [process.argv[3]],
  git: { shouldClone: false },
  isPathCaseSensitive: false,
};

function findings(side, result) {
  const unmatched = result.runtimeException ? [{ code: result.runtimeException.code, pathsInPayload: [] }] : [];
  return [...unmatched, ...(result.errors || [])].map(({ code, message, pathsInPayload }) => ({
    side,
    code,
    message,
    paths: pathsInPayload,
  }));
}

async function main() {
  const validator = new oav.LiveValidator(OPTIONS, () => undefined);
  await validator.initialize();
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const judged = await validator.validateLiveRequestResponse(JSON.parse(line));
    const found = [
      ...findings("request", judged.requestValidationResult),
      ...findings("response", judged.responseValidationResult),
    ];
    process.stdout.write(`${JSON.stringify(found)}\n`);
  }
}

main();

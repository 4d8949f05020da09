// What AsyncAPI's generator of models makes of a document: a file for each model, into a folder. Names are those of the
// document, as its command line has them with --tsRawPropertyNames.
import { readFileSync } from "node:fs";
import { TypeScriptFileGenerator } from "@asyncapi/modelina";

const [path, folder] = process.argv.slice(2);
const generator = new TypeScriptFileGenerator({ modelType: "interface", rawPropertyNames: true });
await generator.generateToFiles(JSON.parse(readFileSync(path, "utf8")), folder, { exportType: "named" }, true);

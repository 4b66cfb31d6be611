// The contract by tools that others wrote: solc compiles it, ethers reads it and tries to break its rules.
//
//   node contract.cjs compile SOURCE            the artifact, as deploy/anchor/JetonAnchor.json has it
//   node contract.cjs weaken SOURCE RPC         deploys it without its growth check; prints the address
//   node contract.cjs attack ARTIFACT RPC ADDRESS ORIGIN
//                                               what the contract lets happen that it should not
//   node contract.cjs read ARTIFACT RPC ADDRESS ORIGIN
//                                               the head and all that was anchored, as ethers reads them
//   node contract.cjs accounts ARTIFACT RPC     the accounts that the node signs for
//   node contract.cjs mining ARTIFACT RPC on    whether transactions come into blocks; off, or on, with a block at once

const { readFileSync } = require("fs");
const solc = require("solc");
const { ethers } = require("ethers");

const GROWTH = /^.*"size must grow".*\n/m;

function compile(text) {
  const settings = {
    // Paris: no opcode that a chain which lags behind Ethereum lacks. Without metadata the code is the source's alone.
    evmVersion: "paris",
    metadata: { appendCBOR: false, bytecodeHash: "none" },
    optimizer: { enabled: true, runs: 1000 },
    outputSelection: { "*": { "*": ["abi", "evm.bytecode.object", "evm.deployedBytecode.object", "evm.methodIdentifiers"] } },
  };
  const input = { language: "Solidity", sources: { "JetonAnchor.sol": { content: text } }, settings };
  const output = JSON.parse(solc.compile(JSON.stringify(input)));
  if (output.errors) throw new Error(output.errors.map((e) => e.formattedMessage).join("\n"));
  const { abi, evm } = output.contracts["JetonAnchor.sol"].JetonAnchor;
  const events = abi.filter((item) => item.type === "event").map((item) => {
    const signature = `${item.name}(${item.inputs.map((i) => i.type).join(",")})`;
    return [signature, ethers.id(signature)];
  });
  return {
    contract: "JetonAnchor",
    solc: solc.version(),
    evm_version: settings.evmVersion,
    optimizer_runs: settings.optimizer.runs,
    selectors: Object.fromEntries(Object.entries(evm.methodIdentifiers).map(([name, hex]) => [name, "0x" + hex])),
    topics: Object.fromEntries(events),
    abi,
    creation: "0x" + evm.bytecode.object,
    runtime: "0x" + evm.deployedBytecode.object,
  };
}

async function weaken(source, rpc) {
  const text = readFileSync(source, "utf8");
  if (!GROWTH.test(text)) throw new Error("the growth check was not found in the source");
  const { abi, creation } = compile(text.replace(GROWTH, ""));
  const signer = await rpc.getSigner(0);
  const contract = await new ethers.ContractFactory(abi, creation, signer).deploy();
  await contract.waitForDeployment();
  return { contract: await contract.getAddress() };
}

const hashed = (origin) => ethers.sha256(ethers.toUtf8Bytes(origin));

async function attack(artifact, rpc, address, name) {
  const origin = hashed(name);
  const { abi } = JSON.parse(readFileSync(artifact, "utf8"));
  const owner = new ethers.Contract(address, abi, await rpc.getSigner(0));
  const stranger = new ethers.Contract(address, abi, await rpc.getSigner(1));
  const [root, note] = ["root", "note"].map((name) => ethers.id(name));
  if ((await owner.head(origin)).size === 0n) await (await owner.anchor(origin, 1000, root, note)).wait();
  const { size } = await owner.head(origin);
  const tries = [
    ["a rollback", owner, size - 1n],
    ["another root at the same size", owner, size],
    ["a size of zero", owner, 0n],
    ["a stranger's head", stranger, size + 1n],
  ];
  const let_in = [];
  for (const [name, contract, attempt] of tries) {
    try {
      await (await contract.anchor(origin, attempt, ethers.id("another"), note, { gasLimit: 500000 })).wait();
      let_in.push(name);
    } catch (error) {
      if (error.code !== "CALL_EXCEPTION") throw error;
    }
  }
  const after = (await owner.head(origin)).size;
  return { tried: tries.length, let_in, unchanged: after === size };
}

async function read(artifact, rpc, address, name) {
  const origin = hashed(name);
  const { abi, runtime } = JSON.parse(readFileSync(artifact, "utf8"));
  const contract = new ethers.Contract(address, abi, rpc);
  const head = await contract.head(origin);
  const logs = await contract.queryFilter(contract.filters.Anchored(origin));
  return {
    size: Number(head.size), root_base64: ethers.encodeBase64(head.root), note: head.note, number: Number(head.number), time: Number(head.time),
    sizes: logs.map((log) => Number(log.args.size)),
    same_code: (await rpc.getCode(address)) === runtime,
  };
}

async function accounts(artifact, rpc) {
  return (await rpc.listAccounts()).map((account) => account.address);
}

async function mining(artifact, rpc, state) {
  await rpc.send("evm_setAutomine", [state === "on"]);
  if (state === "on") await rpc.send("evm_mine", []);
  return state;
}

async function main([command, file, url, ...rest]) {
  if (command === "compile") return compile(readFileSync(file, "utf8"));
  const rpc = new ethers.JsonRpcProvider(url, undefined, { pollingInterval: 20 });
  try {
    const work = { weaken, attack, read, accounts, mining }[command];
    return await work(file, rpc, ...rest);
  } finally {
    rpc.destroy();
  }
}

main(process.argv.slice(2)).then(
  (found) => console.log(JSON.stringify(found, null, 2)),
  (error) => { console.error(error.message); process.exitCode = 1; },
);

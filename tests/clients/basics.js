// node-postgres: prints what it gets, to be compared.
const { Client, Pool } = require("pg");

const told = (error) => [error.code, error.message, error.detail, error.table, error.constraint].join(" | ");

async function main() {
  const database = process.env.WAYPOOL_TEST_DATABASE;
  const client = new Client({ database });
  client.on("notice", (notice) => console.log("notice", notice.severity, notice.message));
  await client.connect();
  await client.query("DROP TABLE IF EXISTS js");
  await client.query("CREATE TABLE js (id int PRIMARY KEY, name text, data jsonb)");
  for (let n = 0; n < 20; n++) {
    const values = [n, `name${n}`, { n }];
    const result = await client.query({ name: "add", text: "INSERT INTO js VALUES ($1, $2, $3)", values });
    if (n === 0) console.log(result.command, result.rowCount);
  }
  console.log((await client.query("SELECT * FROM js WHERE id < $1 ORDER BY id", [3])).rows);
  console.log((await client.query({ text: "SELECT id, name FROM js WHERE id = 7", rowMode: "array" })).rows);
  const several = await client.query("SELECT 1 AS one; SELECT 2 AS two");
  console.log(several.map((result) => result.rows));
  await client.query("INSERT INTO js VALUES ($1, $2)", [1, "twice"]).catch((error) => console.log(told(error)));
  await client.query("SELEC 1").catch((error) => console.log(told(error)));
  await client.query("BEGIN");
  await client.query("DELETE FROM js");
  await client.query("SELECT 1 / $1::int", [0]).catch((error) => console.log(told(error)));
  await client.query("SELECT 1").catch((error) => console.log(told(error)));
  await client.query("ROLLBACK");
  // All of them wait in the driver's queue.
  const counts = await Promise.all([...Array(10).keys()].map((n) => client.query("SELECT count(*) FROM js WHERE id < $1", [n])));
  console.log(counts.map((result) => result.rows[0].count));
  await client.end();

  const pool = new Pool({ database, max: 4 });
  const sums = await Promise.all([...Array(50).keys()].map((n) => pool.query("SELECT sum(id) + $1 AS sum FROM js", [n])));
  console.log(sums.map((result) => result.rows[0].sum).join(" "));
  await pool.end();
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});

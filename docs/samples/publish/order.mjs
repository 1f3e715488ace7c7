// An order and its email in one transaction, with node-postgres.
import pg from "pg";

const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL });
const PUBLISH = "select postroom.publish(channel => $1, payload => $2, key => $3) as id";

export async function placeOrder(email, total) {
  const client = await pool.connect();
  try {
    await client.query("begin");
    const insert = "insert into shop_order (email, total) values ($1, $2) returning id";
    const { id } = (await client.query(insert, [email, total])).rows[0];
    const payload = { to: email, subject: "Your order", text: `Order ${id} is on its way.` };
    await client.query(PUBLISH, ["email", JSON.stringify(payload), `order:${id}`]);
    await client.query("commit");
    return id;
  } catch (error) {
    await client.query("rollback");
    throw error;
  } finally {
    client.release();
  }
}

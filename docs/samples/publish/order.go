// An order and its email in one transaction, with database/sql.
package orders

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
)

const publish = "select postroom.publish(channel => $1, payload => $2::jsonb, key => $3)"

func Place(ctx context.Context, db *sql.DB, email string, total int) (int64, error) {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return 0, err
	}
	defer tx.Rollback() // nothing once it is committed

	var id int64
	insert := "insert into shop_order (email, total) values ($1, $2) returning id"
	if err := tx.QueryRowContext(ctx, insert, email, total).Scan(&id); err != nil {
		return 0, err
	}
	payload, err := json.Marshal(map[string]string{
		"to": email, "subject": "Your order", "text": fmt.Sprintf("Order %d is on its way.", id),
	})
	if err != nil {
		return 0, err
	}
	if _, err := tx.ExecContext(ctx, publish, "email", string(payload), fmt.Sprintf("order:%d", id)); err != nil {
		return 0, err
	}
	return id, tx.Commit()
}

package store

import (
	"context"
	"fmt"
)

// Provision makes the capacity of a plan, and the tenant when it, or its generation, is new here. Doing it again changes
// nothing.
func (tx Tx) Provision(ctx context.Context, generation int64, plan string) error {
	_, err := tx.Exec(ctx, `INSERT INTO capacities (tenant_id, plan) VALUES ($1, $2) ON CONFLICT DO NOTHING`, tx.tenant, plan)
	if err != nil {
		return fmt.Errorf("provision %s: %w", plan, err)
	}
	_, err = tx.Exec(ctx, `INSERT INTO tenants (tenant_id, generation, plan, serving) VALUES ($1, $2, $3, $3)
		ON CONFLICT (tenant_id) DO UPDATE SET generation = excluded.generation, plan = excluded.plan, serving = excluded.serving
		WHERE tenants.generation < excluded.generation`, tx.tenant, generation, plan)
	if err != nil {
		return fmt.Errorf("provision the tenant: %w", err)
	}
	return nil
}

// Withdraw removes all capacities and the tenant: the way back from a first provisioning.
func (tx Tx) Withdraw(ctx context.Context) error {
	if _, err := tx.Exec(ctx, `DELETE FROM capacities`); err != nil {
		return fmt.Errorf("withdraw capacities: %w", err)
	}
	if _, err := tx.Exec(ctx, `DELETE FROM tenants`); err != nil {
		return fmt.Errorf("withdraw the tenant: %w", err)
	}
	return nil
}

// Serve sends new requests to the capacity of a plan.
func (tx Tx) Serve(ctx context.Context, plan string) error {
	return tx.move(ctx, `UPDATE tenants SET serving = $1 WHERE EXISTS (SELECT FROM capacities WHERE plan = $1)`, plan)
}

// Switch puts the tenant on a plan and sends new requests to its capacity.
func (tx Tx) Switch(ctx context.Context, plan string) error {
	return tx.move(ctx, `UPDATE tenants SET plan = $1, serving = $1 WHERE EXISTS (SELECT FROM capacities WHERE plan = $1)`, plan)
}

func (tx Tx) move(ctx context.Context, sql, plan string) error {
	tag, err := tx.Exec(ctx, sql, plan)
	if err != nil {
		return fmt.Errorf("move to %s: %w", plan, err)
	}
	if tag.RowsAffected() == 0 {
		return fmt.Errorf("move to %s: %w", plan, ErrNoRoute)
	}
	return nil
}

// Release removes every capacity but that of the plan to keep, which takes all requests. Rows must have been moved out of
// the others before.
func (tx Tx) Release(ctx context.Context, keep string) error {
	if err := tx.Serve(ctx, keep); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `DELETE FROM capacities WHERE plan <> $1`, keep); err != nil {
		return fmt.Errorf("release: %w", err)
	}
	return nil
}

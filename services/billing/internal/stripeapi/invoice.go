package stripeapi

import (
	"context"
	"errors"
	"fmt"

	"github.com/stripe/stripe-go/v76"

	"tenure/services/billing/internal/app"
	"tenure/services/billing/internal/plan"
	"tenure/shared/fault"
	"tenure/shared/plans"
)

// metaInvoice on a balance transaction names the invoice whose use of the balance it takes back.
const metaInvoice = "tenure_invoice"

// Invoices implements app.Stripe.
func (c *Client) Invoices(ctx context.Context, subscriptionID, since string) ([]plan.Invoice, error) {
	params := &stripe.InvoiceListParams{
		ListParams: list(ctx), Subscription: stripe.String(subscriptionID), Expand: []*string{stripe.String("data.charge")},
	}
	if since != "" {
		params.EndingBefore = stripe.String(since) // the list begins with the newest
	}
	var out []plan.Invoice
	all := c.invoices.List(params)
	for all.Next() {
		out = append(out, invoiceFromStripe(all.Invoice()))
	}
	if err := all.Err(); err != nil {
		return nil, c.translate(ctx, "list invoices of "+subscriptionID, err)
	}
	return out, nil
}

func invoiceFromStripe(i *stripe.Invoice) plan.Invoice {
	out := plan.Invoice{ID: i.ID, Reason: string(i.BillingReason)}
	if i.Customer != nil {
		out.CustomerID = i.Customer.ID
	}
	out.Open = i.Status == stripe.InvoiceStatusOpen
	if i.Status != stripe.InvoiceStatusPaid {
		return out // nothing was paid, and a void invoice gives used credit back by itself
	}
	out.CreditUsed = i.EndingBalance - i.StartingBalance
	if charge := i.Charge; charge != nil && charge.Paid {
		out.ChargeID, out.Charged = charge.ID, charge.AmountCaptured-charge.AmountRefunded
	}
	return out
}

// Collect implements app.Stripe. It needs no idempotency key: an invoice is paid once.
func (c *Client) Collect(ctx context.Context, invoiceID string) error {
	_, err := c.invoices.Pay(invoiceID, &stripe.InvoicePayParams{Params: stripe.Params{Context: ctx}})
	if isInvalid(err, "") {
		return nil // paid or voided meanwhile
	}
	err = c.translate(ctx, "pay invoice "+invoiceID, err)
	if refused := (*app.Refused)(nil); errors.As(err, &refused) {
		return nil
	}
	return err
}

// CollectDrafts implements app.Stripe. Drafts that wait for a person are left alone.
func (c *Client) CollectDrafts(ctx context.Context, subscriptionID string) error {
	all := c.invoices.List(&stripe.InvoiceListParams{
		ListParams: list(ctx), Subscription: stripe.String(subscriptionID), Status: stripe.String(plan.InvoiceDraft),
	})
	for all.Next() {
		if !all.Invoice().AutoAdvance {
			continue
		}
		if err := c.Collect(ctx, all.Invoice().ID); err != nil {
			return err
		}
	}
	return c.translate(ctx, "list drafts of "+subscriptionID, all.Err())
}

// GiveBack implements app.Stripe. A charge tells by itself what was refunded, and Stripe refuses to refund more.
func (c *Client) GiveBack(ctx context.Context, key string, i plan.Invoice) error {
	if i.Open {
		return c.void(ctx, key, i.ID)
	}
	if i.Charged > 0 {
		_, err := c.refunds.New(&stripe.RefundParams{
			Params: write(ctx, key), Charge: stripe.String(i.ChargeID), Amount: stripe.Int64(i.Charged),
		})
		if err != nil && !isCode(err, stripe.ErrorCodeChargeAlreadyRefunded) {
			return c.translate(ctx, "refund "+i.ChargeID, err)
		}
	}
	if i.CreditUsed == 0 {
		return nil
	}
	done, err := c.restored(ctx, i)
	if err != nil || done {
		return err
	}
	_, err = c.balances.New(&stripe.CustomerBalanceTransactionParams{
		Params:   write(ctx, key+"/balance"),
		Customer: stripe.String(i.CustomerID),
		Amount:   stripe.Int64(-i.CreditUsed), // a negative balance is the customer's credit
		Currency: stripe.String(plans.Currency),
		Metadata: map[string]string{metaInvoice: i.ID},
	})
	return c.translate(ctx, "restore balance of "+i.CustomerID, err)
}

// void closes an invoice of a change that came to nothing: a declined upgrade's stays payable for most of a day, and who
// paid it would be charged for a plan that the tenant is not on.
func (c *Client) void(ctx context.Context, key, invoiceID string) error {
	_, err := c.invoices.VoidInvoice(invoiceID, &stripe.InvoiceVoidInvoiceParams{Params: write(ctx, key+"/void")})
	if isInvalid(err, "") {
		return fault.RetryAfter(fmt.Errorf("invoice %s was settled this very moment; it is looked at again", invoiceID), leastDelay)
	}
	return c.translate(ctx, "void invoice "+invoiceID, err)
}

// restored looks for the transaction that GiveBack makes: by the time of a second try its key may have expired.
func (c *Client) restored(ctx context.Context, i plan.Invoice) (bool, error) {
	all := c.balances.List(&stripe.CustomerBalanceTransactionListParams{
		ListParams: list(ctx), Customer: stripe.String(i.CustomerID),
	})
	for all.Next() {
		if all.CustomerBalanceTransaction().Metadata[metaInvoice] == i.ID {
			return true, nil
		}
	}
	return false, c.translate(ctx, "list balance transactions of "+i.CustomerID, all.Err())
}

// PlanOwed reports whether the subscription owes its plan: an open invoice charges for it, or for nothing that is told; an
// add-on alone does not. A draft that Stripe will not open by itself counts too: that is all it makes for a subscription
// which is unpaid.
func (c *Client) PlanOwed(ctx context.Context, subscriptionID string) (bool, error) {
	for _, status := range []string{plan.InvoiceOpen, plan.InvoiceDraft} {
		all := c.invoices.List(&stripe.InvoiceListParams{
			ListParams: list(ctx), Subscription: stripe.String(subscriptionID), Status: stripe.String(status),
		})
		for all.Next() {
			if status == plan.InvoiceDraft && all.Invoice().AutoAdvance {
				continue
			}
			owed, err := c.chargesPlan(ctx, all.Invoice())
			if err != nil || owed {
				return owed, err
			}
		}
		if err := all.Err(); err != nil {
			return false, c.translate(ctx, "list unpaid invoices of "+subscriptionID, err)
		}
	}
	return false, nil
}

// Owes implements app.Stripe.
func (c *Client) Owes(ctx context.Context, customerID string) (bool, error) {
	open := c.invoices.List(&stripe.InvoiceListParams{
		ListParams: list(ctx), Customer: stripe.String(customerID), Status: stripe.String(plan.InvoiceOpen),
	})
	if open.Next() {
		return true, nil
	}
	return false, c.translate(ctx, "list unpaid invoices of "+customerID, open.Err())
}

func (c *Client) chargesPlan(ctx context.Context, i *stripe.Invoice) (bool, error) {
	if i.Lines == nil || len(i.Lines.Data) == 0 {
		return true, nil
	}
	for _, line := range i.Lines.Data {
		if c.planOf(line.Price) != "" {
			return true, nil
		}
	}
	if !i.Lines.HasMore {
		return false, nil
	}
	// An invoice carries its first lines alone.
	all := c.invoices.ListLines(&stripe.InvoiceListLinesParams{ListParams: list(ctx), Invoice: stripe.String(i.ID)})
	for all.Next() {
		if c.planOf(all.InvoiceLineItem().Price) != "" {
			return true, nil
		}
	}
	return false, c.translate(ctx, "list the lines of "+i.ID, all.Err())
}

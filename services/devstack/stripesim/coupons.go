package stripesim

import (
	"time"

	"tenure/services/devstack/stripesim/money"
	"tenure/services/devstack/stripesim/store"
)

type coupon struct {
	ID               string            `json:"id"`
	Object           string            `json:"object"`
	AmountOff        *int64            `json:"amount_off"`
	Created          int64             `json:"created"`
	Currency         *string           `json:"currency"`
	Duration         string            `json:"duration"`
	DurationInMonths *int64            `json:"duration_in_months"`
	MaxRedemptions   *int64            `json:"max_redemptions"`
	Metadata         map[string]string `json:"metadata"`
	Name             *string           `json:"name"`
	PercentOff       *float64          `json:"percent_off"`
	RedeemBy         *int64            `json:"redeem_by"`
	TimesRedeemed    int64             `json:"times_redeemed"`
	Valid            bool              `json:"valid"`
}

func (c *coupon) Key() string     { return c.ID }
func (c *coupon) Kind() string    { return "coupon" }
func (c *coupon) Index() []string { return nil }

// off is what the coupon takes from an amount; never more than there is.
func (c *coupon) off(amount int64) int64 {
	if c.PercentOff != nil {
		return money.Percent(amount, *c.PercentOff)
	}
	return min(*c.AmountOff, max(amount, 0))
}

type promotionCode struct {
	ID             string            `json:"id"`
	Object         string            `json:"object"`
	Active         bool              `json:"active"`
	Code           string            `json:"code"`
	Coupon         *coupon           `json:"coupon"`
	Created        int64             `json:"created"`
	Customer       *string           `json:"customer"`
	ExpiresAt      *int64            `json:"expires_at"`
	MaxRedemptions *int64            `json:"max_redemptions"`
	Metadata       map[string]string `json:"metadata"`
	TimesRedeemed  int64             `json:"times_redeemed"`
}

func (p *promotionCode) Key() string     { return p.ID }
func (p *promotionCode) Kind() string    { return "promotion_code" }
func (p *promotionCode) Index() []string { return []string{"code=" + p.Code} }

// discount is a coupon at work on a customer or a subscription.
type discount struct {
	ID            string  `json:"id"`
	Object        string  `json:"object"`
	Coupon        *coupon `json:"coupon"`
	Customer      string  `json:"customer"`
	End           *int64  `json:"end"`
	PromotionCode *string `json:"promotion_code"`
	Start         int64   `json:"start"`
	Subscription  *string `json:"subscription"`
}

// holds reports whether the discount counts at a time.
func (d *discount) holds(now int64) bool { return d != nil && (d.End == nil || now < *d.End) }

// readDiscount takes coupon or promotion_code; without either the current
// discount stays, and an empty coupon removes it.
func (c *call) readDiscount(current *discount, customerID, subscriptionID string) (*discount, error) {
	if c.Cleared("coupon") {
		c.String("coupon")
		return nil, nil
	}
	id, promotion := c.String("coupon"), c.String("promotion_code")
	if id == "" && promotion == "" {
		return current, nil
	}
	if promotion != "" {
		code, err := refer[promotionCode](c.tx, promotion, "promotion_code")
		if err != nil {
			return nil, err
		}
		if !code.Active || (code.ExpiresAt != nil && c.now >= *code.ExpiresAt) {
			return nil, invalid("promotion_code", "This promotion code is not active.")
		}
		id = code.Coupon.ID
	}
	redeemed, err := refer[coupon](c.tx, id, "coupon")
	if err != nil {
		return nil, err
	}
	if !redeemed.Valid || (redeemed.RedeemBy != nil && c.now > *redeemed.RedeemBy) {
		return nil, invalid("coupon", "Coupon expired: %s", id)
	}
	return c.redeem(redeemed, optional(promotion), customerID, subscriptionID)
}

// redeem puts a coupon to work.
func (t *tx) redeem(redeemed *coupon, promotion *string, customerID, subscriptionID string) (*discount, error) {
	redeemed.TimesRedeemed++
	redeemed.Valid = redeemed.MaxRedemptions == nil || redeemed.TimesRedeemed < *redeemed.MaxRedemptions
	d := &discount{
		ID: newID("di"), Object: "discount", Coupon: redeemed, Customer: customerID,
		PromotionCode: promotion, Start: t.now, Subscription: optional(subscriptionID),
	}
	if redeemed.Duration == "repeating" {
		end := time.Unix(t.now, 0).UTC().AddDate(0, int(*redeemed.DurationInMonths), 0).Unix()
		d.End = &end
	}
	return d, store.Put(t.Tx, redeemed)
}

func createCoupon(c *call) (any, error) {
	made := &coupon{
		ID: c.String("id"), Object: "coupon", AmountOff: c.Int("amount_off"), Created: c.now,
		Currency: optional(c.String("currency")), Duration: "once", DurationInMonths: c.Int("duration_in_months"),
		MaxRedemptions: c.Int("max_redemptions"), PercentOff: c.Float("percent_off"), RedeemBy: c.Int("redeem_by"), Valid: true,
	}
	if made.ID == "" {
		made.ID = newID("co")
	}
	if d := c.OneOf("duration", "forever", "once", "repeating"); d != "" {
		made.Duration = d
	}
	set(c.Params, "name", &made.Name)
	merge(c.Params, &made.Metadata)
	switch {
	case (made.AmountOff == nil) == (made.PercentOff == nil):
		c.Complain("percent_off", "You must pass either `percent_off` or `amount_off`.")
	case made.AmountOff != nil && made.Currency == nil:
		c.Complain("currency", "You must pass `currency` when passing `amount_off`.")
	case (made.Duration == "repeating") != (made.DurationInMonths != nil):
		c.Complain("duration_in_months", "`duration_in_months` goes with `duration=repeating`.")
	}
	if err := c.Err(); err != nil {
		return nil, err
	}
	return made, created(c.tx, made, "coupon.created")
}

func deleteCoupon(c *call) (any, error) {
	gone, err := find[coupon](c.tx, c.id())
	if err != nil {
		return nil, err
	}
	if err := c.Delete(gone); err != nil {
		return nil, err
	}
	return deleted{ID: gone.ID, Object: "coupon", Deleted: true}, c.emit("coupon.deleted", gone, nil)
}

func listCoupons(c *call) (any, error) {
	created := c.within("created")
	return list(c, "", func(v *coupon) bool { return created(v.Created) })
}

func createPromotionCode(c *call) (any, error) {
	id := c.Require("coupon")
	made := &promotionCode{
		ID: newID("promo"), Object: "promotion_code", Active: true, Code: c.String("code"), Created: c.now,
		Customer: optional(c.String("customer")), ExpiresAt: c.Int("expires_at"), MaxRedemptions: c.Int("max_redemptions"),
	}
	if made.Code == "" {
		made.Code = made.ID[len("promo_"):][:8]
	}
	merge(c.Params, &made.Metadata)
	if err := c.Err(); err != nil {
		return nil, err
	}
	var err error
	if made.Coupon, err = refer[coupon](c.tx, id, "coupon"); err != nil {
		return nil, err
	}
	return made, created(c.tx, made, "promotion_code.created")
}

func listPromotionCodes(c *call) (any, error) {
	index := ""
	if code := c.String("code"); code != "" {
		index = "code=" + code
	}
	active := c.Bool("active")
	return list(c, index, func(p *promotionCode) bool { return active == nil || *active == p.Active })
}

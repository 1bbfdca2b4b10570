package stripesim

// readSettings takes what may be set at creation and changed later, without
// effect on what is charged now.
func (c *call) readSettings(sub *subscription) error {
	merge(c.Params, &sub.Metadata)
	set(c.Params, "description", &sub.Description)
	c.Flag("off_session")
	if method := c.OneOf("collection_method", "charge_automatically", "send_invoice"); method == "send_invoice" {
		return invalid("collection_method", "The simulator does not send invoices: use charge_automatically.")
	}
	if id := c.String("default_payment_method"); id != "" {
		card, err := refer[paymentMethod](c.tx, id, "default_payment_method")
		if err != nil {
			return err
		}
		if text(card.Customer) != sub.Customer {
			return invalid("default_payment_method", "The customer does not have a payment method with the ID %s.", id)
		}
	}
	set(c.Params, "default_payment_method", &sub.DefaultPaymentMethod)
	payment := c.Sub("payment_settings")
	payment.OneOf("save_default_payment_method", "off", "on_subscription")
	payment.Strings("payment_method_types")
	c.Sub("automatic_tax").Flag("enabled")
	trial := c.Sub("trial_settings").Sub("end_behavior")
	if missing := trial.OneOf("missing_payment_method", "cancel", "create_invoice", "pause"); missing != "" {
		sub.TrialSettings.EndBehavior.MissingPaymentMethod = missing
	}
	c.readPause(sub)
	c.readCancellation(sub)
	d, err := c.readDiscount(sub.Discount, sub.Customer, sub.ID)
	sub.Discount = d
	return err
}

func (c *call) readPause(sub *subscription) {
	switch {
	case c.Cleared("pause_collection"):
		c.String("pause_collection")
		sub.PauseCollection = nil
	case c.Has("pause_collection"):
		p := c.Sub("pause_collection")
		p.Require("behavior")
		sub.PauseCollection = &pauseCollection{
			Behavior:  p.OneOf("behavior", "keep_as_draft", "mark_uncollectible", "void"),
			ResumesAt: p.Int("resumes_at"),
		}
	}
}

// readCancellation takes a cancellation in the future, or takes it back.
func (c *call) readCancellation(sub *subscription) {
	details := c.Sub("cancellation_details")
	set(details, "comment", &sub.CancellationDetails.Comment)
	set(details, "feedback", &sub.CancellationDetails.Feedback)
	atEnd, at := c.Bool("cancel_at_period_end"), c.Int("cancel_at")
	switch {
	case atEnd != nil && at != nil:
		c.Complain("cancel_at", "You may only specify one of these parameters: cancel_at, cancel_at_period_end.")
	case at != nil && *at <= c.now:
		c.Complain("cancel_at", "cancel_at must be a time in the future.")
	case at != nil:
		sub.cancelLater(c.now, *at, false)
	case atEnd != nil && *atEnd && !sub.CancelAtPeriodEnd:
		sub.cancelLater(c.now, sub.CurrentPeriodEnd, true)
	case atEnd != nil && !*atEnd, c.Cleared("cancel_at"):
		sub.CancelAt, sub.CancelAtPeriodEnd, sub.CanceledAt = nil, false, nil
		sub.CancellationDetails.Reason = nil
	}
}

func (s *subscription) cancelLater(now, at int64, atPeriodEnd bool) {
	s.CancelAt, s.CancelAtPeriodEnd, s.CanceledAt = &at, atPeriodEnd, &now
	s.CancellationDetails.Reason = optional("cancellation_requested")
}

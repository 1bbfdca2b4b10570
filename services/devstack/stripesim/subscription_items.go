package stripesim

import "slices"

// The calls on single items are updates of their subscription in another form.

func createSubscriptionItem(c *call) (any, error) {
	before, err := refer[subscription](c.tx, c.Require("subscription"), "subscription")
	if err != nil {
		return nil, err
	}
	return c.changeItem(before, func(after *subscription) (*subscriptionItem, error) {
		if err := c.applyItem(after, c.Params); err != nil {
			return nil, err
		}
		return after.Items.Data[len(after.Items.Data)-1], nil
	})
}

func updateSubscriptionItem(c *call) (any, error) {
	before, err := c.subscriptionWith(c.id())
	if err != nil {
		return nil, err
	}
	return c.changeItem(before, func(after *subscription) (*subscriptionItem, error) {
		item := after.item(c.id())
		return item, c.setItem(item, c.Params)
	})
}

func deleteSubscriptionItem(c *call) (any, error) {
	before, err := c.subscriptionWith(c.id())
	if err != nil {
		return nil, err
	}
	if len(before.Items.Data) == 1 {
		return nil, invalid("id", "A subscription must have at least one active plan. To cancel a subscription, use the cancel endpoint.")
	}
	c.Flag("clear_usage")
	_, err = c.changeItem(before, func(after *subscription) (*subscriptionItem, error) {
		item := after.item(c.id())
		after.Items.Data = slices.DeleteFunc(after.Items.Data, func(i *subscriptionItem) bool { return i == item })
		return item, nil
	})
	return deleted{ID: c.id(), Object: "subscription_item", Deleted: true}, err
}

func (c *call) changeItem(before *subscription, apply func(after *subscription) (*subscriptionItem, error)) (*subscriptionItem, error) {
	ch := &change{before: before, after: before.copy(), at: c.now}
	if err := c.readProration(ch); err != nil {
		return nil, err
	}
	item, err := apply(ch.after)
	if err != nil {
		return nil, err
	}
	if err := checkItems(ch.after); err != nil {
		return nil, err
	}
	if err := c.Err(); err != nil {
		return nil, err
	}
	if before.ended() || before.Status == statusIncomplete {
		return nil, invalid("", "The items of a subscription that is %s cannot be changed.", before.Status)
	}
	sub, err := c.change(ch)
	if err != nil {
		return nil, err
	}
	if current := sub.item(item.ID); current != nil {
		return current, nil // without the change when that waits to be paid
	}
	return item, nil
}

func retrieveSubscriptionItem(c *call) (any, error) {
	sub, err := c.subscriptionWith(c.id())
	if err != nil {
		return nil, err
	}
	return sub.item(c.id()), c.Err()
}

func listSubscriptionItems(c *call) (any, error) {
	sub, err := refer[subscription](c.tx, c.Require("subscription"), "subscription")
	if err != nil {
		return nil, err
	}
	return part(c, sub.Items.Data, func(i *subscriptionItem) string { return i.ID })
}

func deleteDiscount(c *call) (any, error) {
	sub, err := find[subscription](c.tx, c.id())
	if err != nil {
		return nil, err
	}
	if err := c.Err(); err != nil {
		return nil, err
	}
	if sub.Discount == nil {
		return nil, missing("discount", sub.ID, "id")
	}
	gone := deleted{ID: sub.Discount.ID, Object: "discount", Deleted: true}
	sub.Discount = nil
	return gone, updated(c.tx, sub, "customer.subscription.updated")
}

package tenant

import "tenure/shared/events"

// cool takes note that nobody has used the tenant for long. One that was used meanwhile, or that is in another state now,
// is looked at again later.
func cool(d *decision, _ *Cool) error {
	idle := d.cmd.Facts.Policy.Idle()
	if ok, _ := allows(d.state, CmdCool); !ok || idle == 0 {
		return nil
	}
	since := d.state.CreatedAt
	if used := d.cmd.Facts.UsedAt; used.After(since) {
		since = used
	}
	if d.cmd.Now.Sub(since) < idle {
		return nil
	}
	d.stay(CmdCool, &events.TenantCooled{IdleSince: since})
	return nil
}

// warm takes note that a cold tenant was used.
func (d *decision) warm() {
	if d.state.Cold() && d.cmd.Facts.UsedAt.After(d.state.IdleSince) {
		d.stay(CmdCheckUsage, &events.TenantWarmed{})
	}
}

package app

// Watch returns a channel that gets a signal whenever a tenant changes in this process, and a function to end it.
// Signals are hints: changes by other processes give none, so watchers look again now and then.
func (e *Engine) Watch(id string) (changed <-chan struct{}, stop func()) {
	ch := make(chan struct{}, 1)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.watchers[id] == nil {
		e.watchers[id] = map[chan struct{}]bool{}
	}
	e.watchers[id][ch] = true
	return ch, func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		delete(e.watchers[id], ch)
		if len(e.watchers[id]) == 0 {
			delete(e.watchers, id)
		}
	}
}

func (e *Engine) notify(d *decisions) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if len(e.watchers) == 0 {
		return
	}
	for i := range d.entries {
		for ch := range e.watchers[d.entries[i].Stream] {
			select {
			case ch <- struct{}{}:
			default: // one is waiting already
			}
		}
	}
}

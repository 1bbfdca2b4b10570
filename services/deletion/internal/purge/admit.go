package purge

import (
	"fmt"

	"tenure/shared/events"
)

// The steps that deletion takes part in.
const (
	ActionErase   = "erase"
	ActionVerify  = "verify"
	ActionCertify = "certify"

	// Operation is the kind of operation that ends a tenant's life; a reactivation may be a fresh start.
	Operation  = "purge"
	freshStart = "reactivate"
	// A tenant that was deleted and comes back is provisioned again, in a new generation.
	rebirth = "provision"

	// Operations that the lifecycle knows nothing of: nobody asks for their one step, and nobody is answered.
	OperationRetention = "retention"
	OperationSubject   = "subject"
)

// Admit refuses every step in which data must not be destroyed, whoever asks: only a purge and a fresh start erase, and
// only a purge is certified. The provisioning of a later life begins with a look for remains of the one before.
func Admit(r events.StepRequest) error {
	erases := r.Action == ActionErase || r.Action == ActionVerify
	switch {
	case r.Compensate:
		return fmt.Errorf("%s cannot be taken back: erased data does not return", r.Action)
	case r.Operation == Operation && (erases || r.Action == ActionCertify):
		return nil
	case r.Operation == freshStart && erases && r.RestoreData != nil && !*r.RestoreData:
		return nil
	case r.Operation == rebirth && r.Action == ActionVerify && r.Generation > 1:
		return nil // what is found is of the life before: the new one has nothing yet
	}
	return fmt.Errorf("deletion does no %s in a %s that keeps the data", r.Action, r.Operation)
}

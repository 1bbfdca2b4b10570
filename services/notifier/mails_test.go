package notifier_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tenure/services/notifier"
	"tenure/services/notifier/internal/message"
	"tenure/shared/events"
	"tenure/shared/runner"
)

func TestPeopleAreWrittenToInTheirLanguage(t *testing.T) {
	w := newWorld(t)
	for _, tenant := range []string{"acme", "other"} {
		w.register(tenant)
	}
	w.environ["TENURE_OPERATOR_MAIL"] = "ops@example.com"
	w.run()
	german := &events.ConfigChanged{Config: events.TenantConfig{Values: map[string]string{"locale": "de-AT"}}}
	w.publish("acme", &events.TenantRegistered{Generation: 1}, german, &events.TenantActivated{Plan: "starter"}, &events.ProvisioningFailed{},
		&events.UpgradeCompleted{FromPlan: "starter", Plan: "professional"})
	w.publish("other", &events.TenantRegistered{Generation: 1}, &events.TenantActivated{Plan: "starter"})
	toAcme := []string{"acme ist eingerichtet", "acme konnte noch nicht eingerichtet werden", "acme ist jetzt im Tarif professional"}
	w.wantMails("acme", toAcme...)
	w.wantMails("other", "other is ready")
	w.wantMails("ops", "Tenure calls an operator: provisioning.failed of acme")
	w.publish("acme", &events.PurgeStarted{Generation: 1}, &events.TenantPurged{Generation: 1, Certificate: "certificates/acme/1.json"})
	w.wantMails("acme", append(toAcme, "acme wurde gelöscht")...)
}

func TestOperatorsSeeWhatPeopleAreSent(t *testing.T) {
	w := newWorld(t)
	w.environ["TENURE_MAIL_TEMPLATES"] = t.TempDir()
	own := filepath.Join(w.environ["TENURE_MAIL_TEMPLATES"], "fr")
	if err := os.Mkdir(own, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(own, "welcome.txt"), []byte("Bienvenue, {{.Tenant}}\n\nC'est fait.\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.run()

	var list struct {
		Items []struct {
			Template string
			Locales  []string
			Samples  int
		}
	}
	if status := w.call("GET", "/v1/mails", "dev", nil, &list); status != http.StatusOK || len(list.Items) != len(message.Templates()) {
		t.Fatalf("%d: %d mails", status, len(list.Items))
	}
	if first := list.Items[0]; first.Template != "welcome" || !slices.Equal(first.Locales, []string{"de", "en", "fr"}) || first.Samples != 1 {
		t.Errorf("%+v", first)
	}
	for path, want := range map[string]struct {
		contentType, text string
	}{
		"/v1/mails/welcome?locale=fr-CA":                        {"application/json", `"locale":"fr","subject":"Bienvenue, acme"`},
		"/v1/mails/welcome?locale=it":                           {"application/json", `"locale":"en","subject":"acme is ready"`},
		"/v1/mails/welcome?locale=de&format=html":               {"text/html; charset=utf-8", `<html lang="de">`},
		"/v1/mails/plan_changed?locale=de&sample=2&format=text": {"text/plain; charset=utf-8", "\n- nicht mehr enthalten: mail support\n"},
		"/v1/mails/downgrade_scheduled?format=text":             {"text/plain; charset=utf-8", "\nhttp://127.0.0.1:8080/l/"},
	} {
		answer := w.show(path, "dev")
		if answer.Code != http.StatusOK || answer.Header().Get("Content-Type") != want.contentType || !strings.Contains(answer.Body.String(), want.text) {
			t.Errorf("%s: %d %s\n%s", path, answer.Code, answer.Header().Get("Content-Type"), answer.Body)
		}
	}
	for path, want := range map[string]int{
		"/v1/mails/valentine": http.StatusNotFound, "/v1/mails/welcome?sample=2": http.StatusNotFound,
		"/v1/mails/welcome?format=pdf": http.StatusUnprocessableEntity,
	} {
		if answer := w.show(path, "dev"); answer.Code != want {
			t.Errorf("%s: %d, want %d", path, answer.Code, want)
		}
	}
	for _, path := range []string{"/v1/mails", "/v1/mails/welcome"} {
		if answer := w.show(path, "dev:acme"); answer.Code != http.StatusForbidden {
			t.Errorf("a tenant's token reads %s: %d", path, answer.Code)
		}
	}
}

func (w *world) show(path, token string) *httptest.ResponseRecorder {
	w.t.Helper()
	request := httptest.NewRequestWithContext(w.t.Context(), http.MethodGet, path, http.NoBody)
	request.Header.Set("Authorization", "Bearer "+token)
	answer := httptest.NewRecorder()
	w.http.ServeHTTP(answer, request)
	return answer
}

// A mail that cannot be written is found when the service starts, and not when somebody waits for it.
func TestBrokenMailsStopTheStart(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "de"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "de", "welcome.txt"), []byte("Hallo\n\n{{.Palace}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{dir: "de/welcome.txt:3", filepath.Join(dir, "nowhere"): "no such file"} {
		_, err := notifier.New(t.Context(), runner.Deps{
			Settings: runner.Settings{HTTPAddr: "127.0.0.1:8080"}, Vault: w.vault,
			Environ: runner.Environ{"SMTP_URL": w.mail.URL(), "TENURE_MAIL_TEMPLATES": path},
		})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "TENURE_MAIL_TEMPLATES") {
			t.Errorf("%s: %v", path, err)
		}
	}
}

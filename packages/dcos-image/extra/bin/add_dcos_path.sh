# Sourced by login shells: /etc/profile.d/dcos.sh is a link to this.
case ":$PATH:" in
*:/opt/mesosphere/bin:*) ;;
*) PATH="$PATH:/opt/mesosphere/bin" ;;
esac
export PATH
